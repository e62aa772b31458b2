"""One clip of a prepared data set, as a line of its index: what it says, and what it may say."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields as fields_of
from typing import Any, NamedTuple

from soundsight.data.measure import Measures

HASHES: Mapping[str, int] = {"picture_hash": 32, "sound_hash": 64}
"""Measures that are hexadecimal digits, and how many."""


class Span(NamedTuple):
    """Where bytes lie in a shard."""

    offset: int
    size: int


class ClipRecord(NamedTuple):
    """One line of the index."""

    key: str
    """Unique in the data set; the name of the clip's members in the shard."""
    source: str
    """Id of what it was cut from."""
    group: str
    """What must not stand in two splits: a speaker, a player; often the source."""
    start_s: float
    """Where it begins in its source, seconds."""
    label: str | None
    """Name of its class, if there is one."""
    gain_db: float
    """By how much its sound was made louder, as that of all clips of its source."""
    shard: str
    """Name of the tar file."""
    video: Span
    sound: Span
    sha256: str
    """Of the bytes of its pictures and then of its sound, hexadecimal."""
    measures: dict[str, Any]
    """What was measured of it: `soundsight.data.measure.Measures`."""

    def to_line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(self._asdict(), ensure_ascii=True) + "\n"

    @staticmethod
    def from_line(line: str | bytes) -> "ClipRecord":
        """The record that `to_line` wrote.

        Raises:
            ValueError: naming the field, if it is no such line.
        """
        fields = json.loads(line)
        if not isinstance(fields, dict) or set(fields) != set(ClipRecord._fields):
            raise ValueError(f"has to have the fields {', '.join(ClipRecord._fields)}")
        for name, fits in _FITS.items():
            if not fits(fields[name]):
                raise ValueError(f"{name}={fields[name]!r} cannot be")
        fields["video"], fields["sound"] = Span(*fields["video"]), Span(*fields["sound"])
        return ClipRecord(**fields)

    def about(self) -> dict[str, Any]:
        """What the clip's own file in the shard, KEY.json, tells of it, too."""
        inside = ("key", "shard", "video", "sound")
        return {name: value for name, value in self._asdict().items() if name not in inside}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def is_name(value: object) -> bool:
    """Of a file; never a path."""
    return isinstance(value, str) and re.fullmatch(r"[\w.-]*\w", value, re.ASCII) is not None


def _is_number(value: object) -> bool:
    """Finite, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12


def _is_span(value: object) -> bool:
    pair = value if isinstance(value, list) else []
    return len(pair) == 2 and all(type(number) is int and number >= 0 for number in pair)


def _is_measures(value: object) -> bool:
    if not isinstance(value, dict) or set(value) != {field.name for field in fields_of(Measures)}:
        return False
    for name, one in value.items():
        if name in HASHES:
            if not (isinstance(one, str) and re.fullmatch(f"[0-9a-f]{{{HASHES[name]}}}", one)):
                return False
        elif not _is_number(one) and not (name == "motion" and one is None):
            return False
    return True


_FITS: Mapping[str, Callable[[object], bool]] = {
    "key": is_name,
    "source": _is_text,
    "group": _is_text,
    "start_s": _is_number,
    "label": lambda value: value is None or isinstance(value, str),
    "gain_db": _is_number,
    "shard": is_name,
    "video": _is_span,
    "sound": _is_span,
    "sha256": _is_text,
    "measures": _is_measures,
}
"""What each field of a record may be."""

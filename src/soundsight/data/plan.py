"""How a data set is to be prepared: settings, and the sources in order."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Any, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter
from pydantic.dataclasses import dataclass

from soundsight.data.measure import Filters
from soundsight.data.prepared import Codec
from soundsight.data.source import Source
from soundsight.data.windows import ticks
from soundsight.media.clip import ClipSpec

Gain = Literal["none", "peak", "rms"]
SplitRule = Literal["auto", "source", "clip", "published"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Settings:
    """All that decides what a prepared data set holds, besides its sources."""

    spec: ClipSpec
    """Length, rates, size and channels of the clips."""
    hop_s: float | None = None
    """From one clip's start to the next one's, seconds; None: no overlap."""
    frame_at: float = 0.5
    """Frame k is what is on screen (k + frame_at)/fps after the clip's start, in [0, 1)."""
    gain: Gain = "none"
    """One gain for all clips of a source, never one for a clip: what is near sounds near. "none":
    as recorded, which is what a model hears when it is later given a file. "peak": the source's
    highest sample at -1 dBFS. "rms": its mean level at -23 dBFS, its highest sample at most at -1.
    Nothing is made louder by more than 30 dB."""
    split: SplitRule = "auto"
    """"source": a source stands in one split (by a hash of its own name). "clip": clips by
    themselves, as some papers do; neighbours then stand in different splits, so scores flatter.
    "published": as the layout or the CSV says. "auto": "published" where all sources have a
    split, else "source"."""
    fractions: tuple[float, float] = (0.1, 0.1)
    """Of val and of test."""
    codec: Codec = "mp4"
    """"mp4": visually lossless, pictures a tenth as large. "raw": the bytes, quickest to read."""
    shard_mb: float = 64.0
    """A shard is closed when it holds this much, 10^6 bytes."""
    filters: Filters = field(default_factory=Filters)
    """Which clips are dropped."""

    def __post_init__(self) -> None:
        ticks(self.spec, self.hop_s)
        if not 0 <= self.frame_at < 1:
            raise ValueError(f"frame_at={self.frame_at} must be at least 0 and below 1")
        if not (all(0 <= f < 1 for f in self.fractions) and sum(self.fractions) < 1):
            raise ValueError(
                f"fractions={self.fractions} of val and test must be at least 0, their sum below 1"
            )
        if not 0 < self.shard_mb < math.inf:
            raise ValueError(f"shard_mb={self.shard_mb} must be positive and finite")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        values: dict[str, Any] = TypeAdapter(Settings).dump_python(self, mode="json")
        return values


class Plan(NamedTuple):
    """What is prepared, and how."""

    settings: Settings
    sources: Sequence[Source]
    """In order of their ids, which are unique."""
    notes: Sequence[str] = ()
    """What is odd about the sources' listing."""

    def identity(self) -> dict[str, Any]:
        """What two plans must have in common for the one to go on with the other's work.

        Where the files lie is no part of it.
        """
        settings = self.settings.to_json()
        sources = [_identity(source) for source in self.sources]
        return {
            "settings": settings,
            "sources": {"count": len(sources), "digest": digest(json.dumps(sources))},
        }


def digest(text: str) -> str:
    """A hash of a text of any characters, 40 hexadecimal digits."""
    data = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=20).hexdigest()


def _identity(source: Source) -> dict[str, Any]:
    """A source without its paths."""
    values = asdict(source)
    for name in ("path", "sound", "archive"):
        if name in values:
            values[name] = values[name] is not None
    if "moments" in values:
        values["moments"] = [
            (moment["name"], len(moment["images"]), len(moment["sounds"]))
            for moment in values["moments"]
        ]
    return values

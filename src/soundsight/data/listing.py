"""Plain sources: folders, files, and CSV lists of segments, read as recordings.

A CSV has a header with the column `path` and any of `start`, `end` (seconds), `label`, `source`
(what must not stand in two splits), `split` and `sound` (a file with the sound, on the same clock);
paths are relative to the CSV's folder. Two published forms are read as they are: AudioSet's segment
lists (lines of YTID, start, end, labels under a comment) and VGGSound's (YTID, start, label,
split). Their files are looked for by name: `YTID.*`, a whole video out of which the segment is
taken, or `YTID_START.*`, the segment itself, START in seconds or milliseconds, with leading zeros
or without.
"""

import csv
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from soundsight.data.folder import SUFFIXES
from soundsight.data.prepared import MANIFEST, WORK
from soundsight.data.source import Album, Listing, Recording, Source
from soundsight.media.picture import Box

COLUMNS = ("path", "start", "end", "label", "source", "split", "sound")
BOX_COLUMNS = ("path", "x0", "y0", "x1", "y1")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of splits that are understood."""
VGGSOUND_S = 10.0
"""Duration of VGGSound's segments, seconds."""


def list_sources(
    places: Sequence[str | Path],
    *,
    media: str | Path | None = None,
    boxes: str | Path | None = None,
) -> Listing:
    """List what folders, files and CSVs name; no video is opened.

    Args:
        places: each a folder (searched with all folders inside), a CSV, or a media file.
        media: folder with the files that CSVs name; None: each CSV's own.
        boxes: CSV of what to crop to: path, x0, y0, x1, y1 in pixels of the upright picture; the
            path as in the listing's ids.

    Returns:
        Recordings in order of their ids. Of several places, each id begins with its place's name.

    Raises:
        ValueError: if a place is missing or a folder holds no video, a CSV is not understood, or
            two sources have the same id.
        OSError: if a CSV cannot be read.
    """
    sources: list[Recording] = []
    notes: list[str] = []
    names = _unique([Path(place).resolve().name for place in places])
    for place, name in zip(map(Path, places), names, strict=True):
        if place.is_dir():
            found = _folder(place, notes)
        elif place.suffix.lower() == ".csv":
            found = _csv(place, Path(media) if media else place.parent, notes)
        elif place.is_file() or place.is_symlink():
            found = [Recording(id=place.name, path=str(place))]
        else:
            raise ValueError(f"{place}: no such file or folder; give videos, a folder or a CSV")
        if len(places) > 1 and (place.is_dir() or place.suffix.lower() == ".csv"):
            found = [_within(name, recording) for recording in found]
        sources += found
    if boxes is not None:
        sources = _boxed(sources, Path(boxes))
    return checked(sources, notes)


def checked(sources: Iterable[Source], notes: Sequence[str]) -> Listing:
    """A listing in order of ids.

    Raises:
        ValueError: if two sources have the same id, or a split's name is unknown.
    """
    ordered = sorted(sources, key=lambda source: source.id)
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise ValueError(
                f"{one.id}: listed twice; every source needs a path or segment of its own"
            )
    return Listing([_named(source) for source in ordered], list(notes))


def _named(source: Source) -> Source:
    """The source with its split by our name."""
    if source.split is None:
        return source
    if source.split.lower() not in SPLITS:
        raise ValueError(f"{source.id}: split {source.split!r} is none of {', '.join(SPLITS)}")
    split = SPLITS[source.split.lower()]
    if isinstance(source, Album):
        return replace(source, split=split)
    return replace(source, split=split)


def _unique(names: Sequence[str]) -> list[str]:
    """The names, a number behind those that were there before."""
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


def _within(name: str, recording: Recording) -> Recording:
    group = f"{name}/{recording.group}" if recording.group else ""
    return replace(recording, id=f"{name}/{recording.id}", group=group)


def media_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """All files of a folder and of those inside it with one of the suffixes, in any case.

    Hidden ones are left out, and so is prepared data. Links to folders are followed, but no folder
    is entered twice.
    """
    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        here = Path(root).stat()
        prepared = MANIFEST in files or WORK in folders
        if (here.st_dev, here.st_ino) in entered or (prepared and Path(root) != folder):
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(root) / name


def _folder(folder: Path, notes: list[str]) -> list[Recording]:
    found = [
        Recording(id=path.relative_to(folder).as_posix(), path=str(path))
        for path in media_files(folder)
    ]
    if not found:
        raise ValueError(f"{folder}: holds no video; looked for {', '.join(SUFFIXES)} in it")
    del notes
    return found


class _Row(NamedTuple):
    """A line of a CSV that is understood."""

    path: str
    start_s: float
    end_s: float | None
    label: str | None
    group: str
    split: str | None
    sound: str | None


def _csv(path: Path, media: Path, notes: list[str]) -> list[Recording]:
    """The segments of a list."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        lines = [
            (number, [field.strip() for field in fields])
            for number, fields in enumerate(csv.reader(file, skipinitialspace=True), 1)
            if any(field.strip() for field in fields)
        ]
    if not lines:
        raise ValueError(f"{path}: is empty; {_expected()}")
    header = [field.lower() for field in lines[0][1]]
    if "path" in header:
        rows = _general(path, header, lines[1:], media)
    elif lines[0][1][0].startswith("#"):
        rows = _audioset(path, lines, _Files(media), notes)
    elif len(header) == 4 and _seconds(header[1]) is not None and header[3] in SPLITS:
        rows = _vggsound(path, lines, _Files(media))
    else:
        raise ValueError(f"{path}: columns {', '.join(lines[0][1])} are unknown; {_expected()}")
    return [
        Recording(
            id=_segment(row, media),
            path=row.path,
            sound=row.sound,
            start_s=row.start_s,
            end_s=row.end_s,
            label=row.label,
            split=row.split,
            group=row.group,
        )
        for row in rows
    ]


def _expected() -> str:
    return (
        f"its first line has to name the columns: path, and any of {', '.join(COLUMNS[1:])}; "
        "AudioSet's and VGGSound's lists are read as they are"
    )


def _segment(row: _Row, media: Path) -> str:
    """The id of a segment: its file and where in it."""
    name = os.path.relpath(row.path, media).replace(os.sep, "/")
    if row.start_s == 0 and row.end_s is None:
        return name
    return f"{name}@{row.start_s:g}" + ("" if row.end_s is None else f"-{row.end_s:g}")


def _general(
    path: Path, header: list[str], lines: list[tuple[int, list[str]]], media: Path
) -> list[_Row]:
    """Rows under a header."""
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        wrong = unknown[0] if unknown else next(n for n in header if header.count(n) > 1)
        raise ValueError(
            f"{path}: column {wrong!r} is unknown or there twice; known: {', '.join(COLUMNS)}"
        )
    rows = []
    for number, fields in lines:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number}: has {len(fields)} columns, the header {len(header)}"
            )
        row = {name: field for name, field in zip(header, fields, strict=True) if field}
        if "path" not in row:
            raise ValueError(f"{path}, line {number}: has no path")
        start_s, end_s = _times(path, number, row)
        rows.append(
            _Row(
                str(media / row["path"]),
                start_s,
                end_s,
                row.get("label"),
                row.get("source") or row["path"],
                row.get("split"),
                str(media / row["sound"]) if "sound" in row else None,
            )
        )
    return rows


def _times(path: Path, number: int, row: Mapping[str, str]) -> tuple[float, float | None]:
    """Start and end of a row.

    Raises:
        ValueError: naming the line, if they are no times.
    """
    times: list[float | None] = []
    for name in ("start", "end"):
        value = _seconds(row[name]) if name in row else None
        if name in row and value is None:
            raise ValueError(f"{path}, line {number}: {name} {row[name]!r} is no time in seconds")
        times.append(value)
    start_s, end_s = times[0] or 0.0, times[1]
    if end_s is not None and end_s <= start_s:
        raise ValueError(f"{path}, line {number}: end {end_s:g} is not after start {start_s:g}")
    return start_s, end_s


def _seconds(text: str) -> float | None:
    """A time, at least 0 and finite; None if the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


class _Files:
    """Media files of a folder by their name without suffix."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_stem = {path.stem: path for path in reversed(list(media_files(folder)))}

    def segment(self, name: str, start_s: float, end_s: float) -> tuple[str, float, float | None]:
        """File, start and end of a segment: of its own file, or within the whole video."""
        whole, ms = round(start_s), round(1000 * start_s)
        own = [f"{name}_{ms}", f"{name}_{ms}_{round(1000 * end_s)}"]
        if start_s == whole:
            own = [f"{name}_{whole:06d}", f"{name}_{whole}_{round(end_s)}", f"{name}_{whole}", *own]
        for stem in own:
            if stem in self.by_stem:
                return str(self.by_stem[stem]), 0.0, None
        if name in self.by_stem:
            return str(self.by_stem[name]), start_s, end_s
        return str(self.folder / f"{own[0]}.mp4"), 0.0, None  # Missing: a row of the report.


def _audioset(
    path: Path, lines: list[tuple[int, list[str]]], files: _Files, notes: list[str]
) -> list[_Row]:
    rows, several = [], 0
    for number, fields in lines:
        if fields[0].startswith("#"):
            continue
        if len(fields) != 4:
            raise ValueError(
                f"{path}, line {number}: has {len(fields)} columns; AudioSet's lists have YTID, "
                f"start, end, labels"
            )
        name, labels = fields[0], fields[3].split(",")
        start_s, end_s = _times(path, number, {"start": fields[1], "end": fields[2]})
        several += len(labels) > 1
        place = files.segment(name, start_s, end_s or start_s)
        rows.append(_Row(*place, labels[0] or None, name, None, None))
    if several:
        notes.append(f"{path.name}: {several} segments have several labels; the first is used")
    return rows


def _vggsound(path: Path, lines: list[tuple[int, list[str]]], files: _Files) -> list[_Row]:
    rows = []
    for number, fields in lines:
        if len(fields) != 4:
            raise ValueError(
                f"{path}, line {number}: has {len(fields)} columns; VGGSound's list has YTID, "
                f"start, label, split"
            )
        name, start, label, split = fields
        start_s, _ = _times(path, number, {"start": start})
        place = files.segment(name, start_s, start_s + VGGSOUND_S)
        rows.append(_Row(*place, label, name, split, None))
    return rows


def _boxed(sources: list[Recording], path: Path) -> list[Recording]:
    """The recordings with their boxes."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        names = [str(name).strip().lower() for name in reader.fieldnames or ()]
        if sorted(names) != sorted(BOX_COLUMNS):
            raise ValueError(f"{path}: has the columns {names}; needs {', '.join(BOX_COLUMNS)}")
        reader.fieldnames = names
        boxes: dict[str, Box] = {}
        for number, row in enumerate(reader, 2):
            try:
                box = Box(*(float(row[name]) for name in BOX_COLUMNS[1:]))
            except (TypeError, ValueError):
                raise ValueError(f"{path}, line {number}: x0, y0, x1, y1 are no numbers") from None
            if not (0 <= box.x0 < box.x1 < math.inf and 0 <= box.y0 < box.y1 < math.inf):
                raise ValueError(f"{path}, line {number}: needs 0 <= x0 < x1 and 0 <= y0 < y1")
            boxes[row["path"]] = box
    unknown = sorted(boxes.keys() - {source.id for source in sources})
    if unknown:
        raise ValueError(f"{path}: {unknown[0]!r} is no source; ids are like {sources[0].id!r}")
    return [replace(source, box=boxes.get(source.id, source.box)) for source in sources]

"""Plain sources: folders, files, and CSV lists of segments, read as recordings.

A CSV has a header with the column `path` and any of `start`, `end` (seconds), `label`, `source`
(what must not stand in two splits), `split` and `sound` (a file with the sound, on the same clock);
paths are relative to the CSV's folder, the text is UTF-8. Two published forms are read as they
are: AudioSet's segment lists (lines of YTID, start, end, labels under a comment) and VGGSound's
(YTID, start, label, split). Their files are looked for by name: `YTID.*`, a whole video out of
which the segment is taken, or `YTID_START.*`, the segment itself, START in seconds or milliseconds,
with leading zeros or without.
"""

import csv
import io
import math
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from soundsight.data.folder import SUFFIXES
from soundsight.data.prepared import MANIFEST, WORK
from soundsight.data.source import Listing, Recording, Source
from soundsight.media.picture import Box

COLUMNS = ("path", "start", "end", "label", "source", "split", "sound")
BOX_COLUMNS = ("path", "x0", "y0", "x1", "y1")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Names of splits that are understood."""
VGGSOUND_S = 10.0
"""Duration of VGGSound's segments, seconds."""
SHORTEST_S = 0.001
"""A segment is at least this long, seconds: clips are named by their milliseconds."""

_Lines = list[tuple[int, list[str]]]
"""Lines of a CSV that are not blank: number of the line, fields without blanks around them."""


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
        Recordings in order of their ids. Of several places, each id begins with its place's name,
        and so does each group that was not named by a CSV. A file that is listed under several
        names (links to it, a folder within another) is one group.

    Raises:
        ValueError: if a place is missing or given twice, a folder is prepared data or holds no
            video, a CSV is not understood, two sources have the same id, or `media` is no folder
            or there is no CSV for it.
        OSError: if a CSV cannot be read.
    """
    sources: list[Recording] = []
    notes: list[str] = []
    given = [Path(place) for place in places]
    _check_places(given, media)
    for place, name in zip(given, _unique(given), strict=True):
        prefix = f"{name}/" if len(given) > 1 else ""
        if place.is_dir():
            sources += _folder(place, prefix)
        elif _is_csv(place):
            folder = place.parent if media is None else Path(media)
            sources += _csv(place, folder, prefix, notes)
        else:
            sources.append(Recording(id=name, path=str(place)))
    if boxes is not None:
        sources = _boxed(sources, Path(boxes))
    return checked(_united(sources, notes), notes)


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
    return replace(source, split=SPLITS[source.split.lower()])


def _is_csv(place: Path) -> bool:
    return place.suffix.lower() == ".csv" and not place.is_dir()


def _check_places(places: Sequence[Path], media: str | Path | None) -> None:
    """Refuse places that are missing or given twice, and a `media` that is of no use.

    Raises:
        ValueError: naming the place.
    """
    seen: set[str] = set()
    for place in places:
        if not (place.is_dir() or place.is_file() or place.is_symlink()):
            raise ValueError(f"{place}: no such file or folder; give videos, a folder or a CSV")
        path = os.path.normpath(place.absolute())
        if path in seen:
            raise ValueError(f"{place}: listed twice; give every place once")
        seen.add(path)
    if media is not None and not Path(media).is_dir():
        raise ValueError(f"media={media} is no folder; give the one with the files of the CSV")
    if media is not None and not any(map(_is_csv, places)):
        raise ValueError(f"media={media} is for the files that a CSV names; no CSV is given")


def _unique(places: Sequence[Path]) -> list[str]:
    """The places' names, with a number behind those that were there before."""
    unique: dict[str, None] = {}
    for place in places:
        name = place.resolve().name if place.is_dir() else place.name
        other, number = name, 1
        while other in unique:
            number += 1
            other = f"{name}#{number}"
        unique[other] = None
    return list(unique)


def _united(sources: Sequence[Recording], notes: list[str]) -> list[Recording]:
    """The recordings, those of one file under several names in one group, that of the first id.

    Segments of a file under one name keep the groups that they have.
    """
    ordered = sorted(sources, key=lambda source: source.id)
    files = {path: _file(path) for path in {source.path for source in ordered}}
    listed: dict[tuple[int, int], list[Recording]] = defaultdict(list)
    rank: dict[str, int] = {}
    for source in ordered:
        rank.setdefault(source.group or source.id, len(rank))
        if (file := files[source.path]) is not None:
            listed[file].append(source)
    leader: dict[str, str] = {}

    def group_of(source: Recording) -> str:
        group = source.group or source.id
        while leader.get(group, group) != group:
            group = leader[group]
        return group

    several = []
    for found in listed.values():
        names = {source.id.removesuffix(_part(source.start_s, source.end_s)) for source in found}
        if len(names) > 1:
            groups = {group_of(source) for source in found}
            leader |= dict.fromkeys(groups, min(groups, key=rank.__getitem__))
            several.append(sorted(names)[:2])
    if several:
        one, other = several[0]
        count = f"{len(several)} files are" if len(several) > 1 else "1 file is"
        notes.append(
            f"{count} listed under several names, such as {one!r} and {other!r}; all names of a "
            "file count as one group"
        )
    return [
        replace(source, group=group_of(source)) if (source.group or source.id) in leader else source
        for source in ordered
    ]


def _file(path: str) -> tuple[int, int] | None:
    """What tells a file from all others, however it is named; None if it cannot be told."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):  # Missing, or no path at all: a row of the report.
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def media_files(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> Iterator[Path]:
    """All files of a folder and of those inside it with one of the suffixes, in any case.

    Hidden ones are left out, and so are prepared data inside and the folder `report` of a copy of
    such that has lost its manifest. Links to folders are followed, but no folder is entered twice.
    """
    entered: set[tuple[int, int]] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        here = Path(root).stat()
        prepared = MANIFEST in files or WORK in folders
        if (here.st_dev, here.st_ino) in entered or (prepared and Path(root) != folder):
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        kinds = {Path(name).suffix for name in files}
        passed = {"report"} if kinds >= {".jsonl", ".tar"} else set()
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in passed)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield Path(root) / name


def _folder(folder: Path, prefix: str) -> list[Recording]:
    if (folder / MANIFEST).exists() or (folder / WORK).exists():
        raise ValueError(f"{folder}: is prepared data; give the raw videos")
    found = [
        Recording(id=prefix + path.relative_to(folder).as_posix(), path=str(path))
        for path in media_files(folder)
    ]
    if not found:
        raise ValueError(f"{folder}: holds no video; looked for {', '.join(SUFFIXES)} in it")
    return found


class _Row(NamedTuple):
    """A line of a CSV that is understood."""

    path: str
    start_s: float
    end_s: float | None
    label: str | None
    group: str
    """As the CSV names it; "": the file."""
    split: str | None
    sound: str | None


def _lines(path: Path) -> _Lines:
    """Read a CSV.

    Raises:
        ValueError: naming the file and line, if it is no text in UTF-8 or no CSV.
        OSError: if it cannot be read.
    """
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}, line {number}: is no UTF-8; save it as UTF-8") from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"{path}, line {number}: holds NUL characters; save it as UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    lines, number = [], 1
    try:
        for fields in reader:
            stripped = [field.strip() for field in fields]
            if any(stripped):
                lines.append((number, stripped))
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {number}: is no CSV ({error}); is a quotation mark not closed?"
        ) from None
    return lines


def _csv(path: Path, media: Path, prefix: str, notes: list[str]) -> list[Recording]:
    """The segments of a list; ids and the groups that it does not name begin with the prefix."""
    lines = _lines(path)
    if not lines:
        raise ValueError(f"{path}: is empty; {_expected()}")
    header = [field.lower() for field in lines[0][1]]
    if "path" in header:
        rows = _general(path, header, lines[1:], media, notes)
    elif lines[0][1][0].startswith("#"):
        rows = _audioset(path, lines, _Files(media), notes)
    elif len(header) == 4 and _seconds(header[1]) is not None and header[3] in SPLITS:
        rows = _vggsound(path, lines, _Files(media))
    else:
        raise ValueError(f"{path}: columns {', '.join(lines[0][1])} are unknown; {_expected()}")
    if not rows:
        raise ValueError(f"{path}: names no file; it needs a line for each")
    return [
        Recording(
            id=prefix + _name(row.path, media) + _part(row.start_s, row.end_s),
            path=row.path,
            sound=row.sound,
            start_s=row.start_s,
            end_s=row.end_s,
            label=row.label,
            split=row.split,
            group=row.group or prefix + _name(row.path, media),
        )
        for row in rows
    ]


def _expected() -> str:
    return (
        f"its first line has to name the columns: path, and any of {', '.join(COLUMNS[1:])}; "
        "AudioSet's and VGGSound's lists are read as they are"
    )


def _name(path: str, media: Path) -> str:
    """A file as seen from the folder, however it is spelled; "../" before it if it lies outside."""
    return os.path.relpath(path, media).replace(os.sep, "/")


def _part(start_s: float, end_s: float | None) -> str:
    """What an id says about where in its file a segment is, to the microsecond."""
    if start_s == 0 and end_s is None:
        return ""
    return f"@{_time(start_s)}" + ("" if end_s is None else f"-{_time(end_s)}")


def _time(value_s: float) -> str:
    return f"{value_s:.6f}".rstrip("0").rstrip(".")


def _general(
    path: Path, header: list[str], lines: _Lines, media: Path, notes: list[str]
) -> list[_Row]:
    """Rows under a header."""
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        wrong = unknown[0] if unknown else next(n for n in header if header.count(n) > 1)
        raise ValueError(
            f"{path}: column {wrong!r} is unknown or there twice; known: {', '.join(COLUMNS)}"
        )
    rows, outside = [], []
    for number, fields in lines:
        if len(fields) != len(header):
            raise ValueError(
                f"{path}, line {number}: has {len(fields)} columns, the header {len(header)}"
            )
        row = {name: field for name, field in zip(header, fields, strict=True) if field}
        if "path" not in row:
            raise ValueError(f"{path}, line {number}: has no path")
        start_s, end_s = _times(path, number, row)
        if Path(row["path"]).is_absolute() and _name(row["path"], media).startswith("../"):
            outside.append(row["path"])
        rows.append(
            _Row(
                str(media / row["path"]),
                start_s,
                end_s,
                row.get("label"),
                row.get("source", ""),
                row.get("split"),
                str(media / row["sound"]) if "sound" in row else None,
            )
        )
    if outside:
        notes.append(
            f"{path.name}: {len(outside)} lines name absolute paths outside of {media}, such as "
            f"{outside[0]}; ids, and so splits, depend on where these files lie. Name the folder "
            "that holds them as `media`, or give paths relative to the CSV"
        )
    return rows


def _times(path: Path, number: int, row: Mapping[str, str]) -> tuple[float, float | None]:
    """Start and end of a row.

    Raises:
        ValueError: naming the line, if they are no times, or no segment is between them.
    """
    times: list[float | None] = []
    for name in ("start", "end"):
        value = _seconds(row[name]) if name in row else None
        if name in row and value is None:
            raise ValueError(f"{path}, line {number}: {name} {row[name]!r} is no time in seconds")
        times.append(value)
    start_s, end_s = times[0] or 0.0, times[1]
    if end_s is not None and end_s <= start_s:
        raise ValueError(
            f"{path}, line {number}: end {_time(end_s)} is not after start {_time(start_s)}"
        )
    if end_s is not None and round(end_s - start_s, 6) < SHORTEST_S:
        raise ValueError(
            f"{path}, line {number}: start {_time(start_s)}, end {_time(end_s)}: a segment is at "
            f"least {SHORTEST_S} s long"
        )
    return start_s, end_s


def _seconds(text: str) -> float | None:
    """A time, at least 0 and finite; None if the text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return abs(value) if 0 <= value < math.inf else None  # Of -0 as well.


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


def _audioset(path: Path, lines: _Lines, files: _Files, notes: list[str]) -> list[_Row]:
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


def _vggsound(path: Path, lines: _Lines, files: _Files) -> list[_Row]:
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
    lines = _lines(path)
    header = [field.lower() for field in lines[0][1]] if lines else []
    if sorted(header) != sorted(BOX_COLUMNS):
        raise ValueError(f"{path}: has the columns {header}; needs {', '.join(BOX_COLUMNS)}")
    boxes: dict[str, Box] = {}
    for number, fields in lines[1:]:
        where = f"{path}, line {number}"
        if len(fields) != len(header):
            raise ValueError(f"{where}: has {len(fields)} columns, the header {len(header)}")
        row = dict(zip(header, fields, strict=True))
        try:
            box = Box(*(float(row[name]) for name in BOX_COLUMNS[1:]))
        except ValueError:
            raise ValueError(f"{where}: x0, y0, x1, y1 are no numbers") from None
        if not (0 <= box.x0 <= box.x1 - 1 < math.inf and 0 <= box.y0 <= box.y1 - 1 < math.inf):
            raise ValueError(
                f"{where}: needs 0 <= x0, x0 + 1 <= x1, 0 <= y0 and y0 + 1 <= y1, in pixels"
            )
        if row["path"] in boxes:
            raise ValueError(f"{where}: {row['path']} has a box already; one box for a source")
        boxes[row["path"]] = box
    unknown = sorted(boxes.keys() - {source.id for source in sources})
    if unknown:
        raise ValueError(f"{path}: {unknown[0]!r} is no source; ids are like {sources[0].id!r}")
    return [replace(source, box=boxes.get(source.id, source.box)) for source in sources]

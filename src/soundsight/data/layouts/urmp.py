"""URMP: 44 classical pieces of two to five parts, every musician filmed and recorded apart.

Source: B. Li, X. Liu, K. Dinesh, Z. Duan, G. Sharma, "Creating a multitrack classical music
performance dataset for multimodal music analysis" (IEEE Transactions on Multimedia 2019). Its
licence is not known here: ask its authors before you pass on anything made of it.

```
URMP/boxes.csv                                  yours: piece,k,inst,x0,y0,x1,y1
URMP/<NN>_<Title>_<i1>_<i2>../Vid_<NN>_<Title>_*.mp4
                             /AuSep_<k>_<inst>_<NN>_<Title>.wav
```
The published picture shows the musicians of a piece side by side. One recording per musician: the
picture cropped to his box, with his own track (taken to run on the picture's clock). Boxes have to
come from you: look at each piece once, and write the pixels of the part of the picture that belongs
to track k. Musicians usually sit in the order of the tracks, from left to right; do check.

Pieces are said to share tracks between arrangements; recordings of the same title and instrument
are one group, so no take stands in two splits. The spec is that of Sub-URMP-Video, to compare with;
picture and sound differ from it all the same (other crops, other takes), so never mix the scores.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from soundsight.data.folder import SUFFIXES
from soundsight.data.layouts import tree
from soundsight.data.source import Listing, Recording
from soundsight.media.clip import ClipSpec
from soundsight.media.picture import Box

SPEC = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16000)
TREE = (
    "URMP/<NN>_<Title>_<i1>_<i2>../{Vid_<NN>_<Title>_*.mp4,AuSep_<k>_<inst>_<NN>_<Title>.wav} "
    "and URMP/boxes.csv"
)
INSTRUMENTS = {
    "bn": "bassoon",
    "cl": "clarinet",
    "db": "double_bass",
    "fl": "flute",
    "hn": "horn",
    "ob": "oboe",
    "sax": "sax",
    "tba": "tuba",
    "tbn": "trombone",
    "tpt": "trumpet",
    "va": "viola",
    "vc": "cello",
    "vn": "violin",
}
"""Classes by URMP's codes, spelt as in Sub-URMP."""
COLUMNS = ("piece", "k", "inst", "x0", "y0", "x1", "y1")
"""Of boxes.csv: the piece's folder (or its number), track, code, and the box in pixels."""
PIECES = 44
"""How many were published."""


class Part(NamedTuple):
    """One musician of a piece."""

    folder: Path
    title: str
    track: int
    code: str
    video: Path
    sound: Path


def read(roots: Sequence[Path]) -> Listing:
    """One recording per musician and piece.

    Args:
        roots: the folder URMP, with boxes.csv in it.

    Returns:
        Recordings in order of their ids; pieces that lack a file or a box are noted.

    Raises:
        ValueError: if there is no piece, boxes.csv is missing, or a line of it is wrong.
    """
    (root,) = tree.the_folders("urmp", roots, "the folder URMP with the pieces")
    notes: list[str] = []
    parts = _parts(root, notes)
    if not parts:
        raise tree.unlike(root, "urmp", TREE)
    boxes = _boxes(root, sorted({part.folder.name for part in parts}))
    recordings, boxless = [], []
    for part in parts:
        piece, label = part.folder.name, INSTRUMENTS[part.code]
        found = next((b for b in _keys(part) if b in boxes), None)
        if found is None:
            boxless.append(f"{piece} {part.track} {part.code}")
            continue
        code, box = boxes[found]
        if code != part.code:
            raise ValueError(
                f"{root / 'boxes.csv'}: piece {piece}, k={part.track}: inst={code!r}, but the "
                f"track is {part.sound.name}"
            )
        recordings.append(
            Recording(
                id=f"{piece}#{part.track}_{part.code}",
                path=str(part.video),
                sound=str(part.sound),
                label=label,
                group=f"{part.title.casefold()} {label}",
                box=box,
            )
        )
    if boxless:
        notes.append(f"no box, left out: {', '.join(boxless)}")
    if not recordings:
        raise _no_boxes(root, sorted({part.folder.name for part in parts}), "covers none of")
    have = len({part.folder for part in parts})
    if have != PIECES:
        notes.append(f"{have} pieces; published: {PIECES}")
    return Listing(sorted(recordings, key=lambda recording: recording.id), notes)


def _parts(root: Path, notes: list[str]) -> list[Part]:
    """Every track that has a picture, by piece and number."""
    parts: list[Part] = []
    for folder in tree.folders(root):
        named = re.fullmatch(r"(\d+)_(.+)", folder.name)
        if named is None:
            continue
        number, words = int(named[1]), named[2].split("_")
        while len(words) > 1 and words[-1].lower() in INSTRUMENTS:
            words.pop()
        videos = [p for p in tree.files(folder, SUFFIXES) if p.name.lower().startswith("vid_")]
        tracks = []
        for path in tree.files(folder, (".wav",)):
            match = re.fullmatch(r"ausep_(\d+)_([a-z]+)_(\d+)_.*", path.stem.lower())
            if match and match[2] in INSTRUMENTS and int(match[3]) == number:
                tracks.append((int(match[1]), match[2], path))
        if not videos or not tracks:
            missing = "Vid_*.mp4" if not videos else "AuSep_*.wav"
            notes.append(f"{folder.name}: left out, has no {missing}")
            continue
        parts += [Part(folder, "_".join(words), k, code, videos[0], p) for k, code, p in tracks]
    return parts


def _keys(part: Part) -> list[tuple[str, int]]:
    """Names under which boxes.csv may have a part."""
    number = str(int(part.folder.name.split("_")[0]))
    return [(part.folder.name.casefold(), part.track), (number, part.track)]


def _boxes(root: Path, pieces: Sequence[str]) -> dict[tuple[str, int], tuple[str, Box]]:
    """The instrument and box of every (piece, track) in boxes.csv."""
    path = root / "boxes.csv"
    if not path.is_file():
        raise _no_boxes(root, pieces, "is missing; it is to cover")
    boxes: dict[tuple[str, int], tuple[str, Box]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, skipinitialspace=True)
        if not set(COLUMNS) <= set(reader.fieldnames or ()):
            raise _no_boxes(root, pieces, f"has the columns {reader.fieldnames}; it is to cover")
        for row in reader:
            try:
                piece, k = row["piece"].strip(), int(row["k"])
                box = Box(*(float(row[name]) for name in COLUMNS[3:]))
            except (TypeError, ValueError, AttributeError):
                raise ValueError(
                    f"{path}: line {reader.line_num}: k must be a whole number, "
                    "x0, y0, x1, y1 numbers (pixels)"
                ) from None
            if not (0 <= box.x0 < box.x1 < float("inf") and 0 <= box.y0 < box.y1 < float("inf")):
                raise ValueError(
                    f"{path}: line {reader.line_num}: a box needs 0 <= x0 < x1 and 0 <= y0 < y1, "
                    f"in pixels, not {box.x0:g}, {box.y0:g}, {box.x1:g}, {box.y1:g}"
                )
            key = str(int(piece)) if piece.isdecimal() else piece.casefold()
            boxes[key, k] = (str(row["inst"]).strip().lower(), box)
    return boxes


def _no_boxes(root: Path, pieces: Sequence[str], why: str) -> ValueError:
    return ValueError(
        f"{root / 'boxes.csv'}: {why} {tree.plural(len(pieces), 'piece')} ({', '.join(pieces)}); "
        f"columns: {','.join(COLUMNS)}, with the pixels of each track's musician in the picture"
    )

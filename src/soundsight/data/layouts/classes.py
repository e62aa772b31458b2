"""Videos in a folder per class, as UCF-101, Kinetics and many others come.

Source and licence are those of the data set at hand. UCF-101 (K. Soomro, A. Zamir, M. Shah, 2012)
and Kinetics (W. Kay et al., 2017) are lists and cuts of videos that belong to others.

```
ROOT/<class>/*.mp4                             or, with the published split,
ROOT/{train,val,test}/<class>/*.mp4
```
The class is the first folder, whatever lies deeper. Names of UCF-101 (`v_Drumming_g01_c02`) and of
Kinetics (`<video>_000010_000020`) tell which clips were cut from one video: those are one group.
Files without sound (in UCF-101, many) are dropped and counted when they are read.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from soundsight.data.folder import SUFFIXES
from soundsight.data.layouts import tree
from soundsight.data.source import Listing, Recording
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)
TREE = "ROOT/<class>/*.mp4 or ROOT/{train,val,test}/<class>/*.mp4"
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folders that are published splits, in any case."""
GROUPS = (
    re.compile(r"v_(?P<video>\w+_g\d+)_c\d+"),
    re.compile(r"(?P<video>[\w-]{11})_\d{6}_\d{6}"),
)
"""File names of UCF-101 and Kinetics, and the video that they were cut from."""


def read(roots: Sequence[Path]) -> Listing:
    """One recording per video, labelled with its folder.

    Args:
        roots: the folder with the classes, or the splits.

    Returns:
        Recordings in order of their ids.

    Raises:
        ValueError: if there is no video in a folder of a class.
    """
    return read_classes("classes", TREE, roots)


def read_classes(layout: str, expected: str, roots: Sequence[Path]) -> Listing:
    """Videos by class for any layout of that form.

    Args:
        layout: its name, for errors.
        expected: its tree, for errors.
        roots: the only root.

    Raises:
        ValueError: if there is no video in a folder of a class.
    """
    (root,) = tree.the_folders(layout, roots, "the folder with a folder per class")
    splits = [folder for folder in tree.folders(root) if folder.name.casefold() in SPLITS]
    notes: list[str] = []
    spelling: dict[str, str] = {}
    recordings: list[Recording] = []
    if splits:
        others = [folder.name for folder in tree.folders(root) if folder not in splits]
        if others:
            notes.append(f"folders beside the splits, left out: {', '.join(others)}")
        for folder in splits:
            split = SPLITS[folder.name.casefold()]
            recordings += _of_classes(root, folder, split, spelling, notes)
    else:
        recordings += _of_classes(root, root, None, spelling, notes)
    if not recordings:
        raise tree.unlike(root, layout, expected)
    return Listing(sorted(recordings, key=lambda recording: recording.id), notes)


def _of_classes(
    root: Path, folder: Path, split: str | None, spelling: dict[str, str], notes: list[str]
) -> list[Recording]:
    """The videos of a folder of classes."""
    loose = tree.files(folder, SUFFIXES)
    if loose:
        notes.append(f"{tree.plural(len(loose), 'video')} in no class: {loose[0].name}, ...")
    recordings = []
    for place in tree.folders(folder):
        videos = tree.walk(place, SUFFIXES)
        if not videos:
            notes.append(f"{tree.relative(place, root)}: holds no video")
            continue
        label = tree.one_spelling(spelling, place.name)
        for path in videos:
            match = next((m for pattern in GROUPS if (m := pattern.fullmatch(path.stem))), None)
            recordings.append(
                Recording(
                    id=tree.relative(path, root),
                    path=str(path),
                    label=label,
                    split=split,
                    group=match["video"] if match else "",
                )
            )
    return recordings

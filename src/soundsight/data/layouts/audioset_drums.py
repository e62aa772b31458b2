"""AudioSet-Drums: drummers, seen while they are heard, clips of 3 s.

Source: A. Chatterjee, A. Cherian, "Sound2Sight: generating visual dynamics from sound and context"
(ECCV 2020), who chose the clips from AudioSet and gave them out as a zip file, as they are, through
MERL; the videos belong to their authors.

```
AudioSet_Dataset/{train,test}/mp4/<number>.mp4          a folder, or still the zip file
AudioSet_Dataset/{train,test}/stft_pickle/<number>.pickle
```
The pickles are never opened: a pickle can run any program, and spectrograms are made here from the
sound. A zip file is not unpacked; names in it that lead out of it, or links, make it refused.

The paper has 6,000, 1,000 and 1,000 clips; there are two folders, and earlier work validated on
test. Here val is cut from train, so scores on test mean what they say.
"""

import re
import stat
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soundsight.data.layouts import tree
from soundsight.data.source import Listing, Recording
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=90, fps=30, size=64, channels=3, sample_rate=22050)
TREE = "AudioSet_Dataset/{train,test}/mp4/<number>.mp4, as a folder or a zip file"
SPLITS = ("train", "test")
_MEMBER = re.compile(r"(?P<root>|.*/)(?P<split>train|test)/mp4/(?P<name>[^/]+\.mp4)", re.IGNORECASE)


def read(roots: Sequence[Path]) -> Listing:
    """One recording per clip, with the published split.

    Args:
        roots: the zip file, the folder that it unpacks to, or the folder that holds that one.

    Returns:
        Recordings in order of their ids, which are the same from the zip and the folder.

    Raises:
        ValueError: if there is no clip, or the zip file is damaged or not to be trusted.
    """
    return read_split_mp4("audioset_drums", TREE, "6,000 train, 1,000 val, 1,000 test", roots)


def read_split_mp4(layout: str, expected: str, published: str, roots: Sequence[Path]) -> Listing:
    """The clips of {train,test}/mp4 in a folder or a zip file.

    Args:
        layout: its name, for errors.
        expected: its tree, for errors.
        published: how many clips the paper tells of, in words.
        roots: the only root.

    Raises:
        ValueError: if there is no clip, or the zip file is damaged or not to be trusted.
    """
    if len(roots) == 1 and roots[0].is_file():
        recordings = _from_zip(roots[0], layout, expected)
    else:
        (root,) = tree.the_folders(layout, roots, "the zip file, or the folder it unpacks to")
        recordings = _from_folder(root)
    if not recordings:
        raise tree.unlike(roots[0], layout, expected)
    counts = Counter(recording.split for recording in recordings)
    notes = [
        f"{counts['train']:,} train, {counts['test']:,} test; the paper: {published}",
        "test served as validation, too, in earlier work; here val is cut from train",
    ]
    return Listing(sorted(recordings, key=lambda recording: recording.id), notes)


def _from_folder(root: Path) -> list[Recording]:
    """The clips of the first folder, at or below the root, that has {train,test}/mp4."""
    inner = tree.folders(root)
    for top in [root, *inner, *(f for folder in inner for f in tree.folders(folder))]:
        recordings = [
            Recording(id=f"{split}/mp4/{path.name}", path=str(path), split=split)
            for split in SPLITS
            if (place := tree.child(top, split)) and (place := tree.child(place, "mp4"))
            for path in tree.files(place, (".mp4",))
        ]
        if recordings:
            return recordings
    return []


def _from_zip(path: Path, layout: str, expected: str) -> list[Recording]:
    """The clips of a zip file, which stays packed."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename: member for member in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: no readable zip file ({error}); layout {layout} expects {expected}"
        ) from None
    recordings: dict[str, Recording] = {}
    tops = set()
    for name, member in sorted(members.items()):
        _check_member(path, member)
        match = _MEMBER.fullmatch(name)
        if match is None or any(tree.is_hidden(part) for part in name.split("/")):
            continue
        split = match["split"].lower()
        tops.add(match["root"])
        inner = f"{split}/mp4/{match['name']}"
        recordings[inner] = Recording(id=inner, path=name, split=split, archive=str(path))
    if len(tops) > 1:
        raise ValueError(
            f"{path}: holds {len(tops)} data sets ({', '.join(sorted(tops))}); unpack one of them "
            "and give its folder"
        )
    return list(recordings.values())


def _check_member(path: Path, member: zipfile.ZipInfo) -> None:
    """Refuse a zip file with a member that leads elsewhere or cannot be read."""
    name = member.filename
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in parts[0]:
        raise ValueError(f"{path}: its member {name!r} leads out of it; such a file is not read")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ValueError(f"{path}: its member {name!r} is a link; such a file is not read")
    if member.flag_bits & 1:
        raise ValueError(f"{path}: its member {name!r} is encrypted; unpack it and give the folder")

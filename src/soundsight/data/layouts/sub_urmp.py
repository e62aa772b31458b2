"""Sub-URMP: an image of a musician and the half second of sound around it, 13 instruments.

Source: L. Chen, S. Srivastava, Z. Duan, C. Xu, "Deep cross-modal audio-visual generation" (ACM
Multimedia Thematic Workshops 2017), cut from recordings of URMP's musicians. Its licence is not
known here: ask its authors before you pass on anything made of it.

```
Sub-URMP/{img,chunk}/{train,validation}/<instrument>/<instrument><VV>_<ms>.{jpg,wav}
```
VV numbers the recording, ms is the end of the 0.5 s of sound, whose first picture is the image; it
steps by 100. Image and sound are joined by (instrument, VV, ms); one album per recording. What the
papers call the test set is the folder "validation". The class is the folder's name.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from soundsight.data.layouts import tree
from soundsight.data.source import Album, Listing, Moment, Source
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)
TREE = "Sub-URMP/{img,chunk}/{train,validation}/<instrument>/<instrument><VV>_<ms>.{jpg,wav}"
SPLITS = {"train": "train", "validation": "test"}
"""The folders, and what they are here."""
COUNTS = {
    "bassoon": (1735, 390),
    "cello": (9800, 1030),
    "clarinet": (8125, 945),
    "double_bass": (1270, 1180),
    "flute": (5690, 925),
    "horn": (5540, 525),
    "oboe": (4505, 390),
    "sax": (7615, 910),
    "trombone": (8690, 805),
    "trumpet": (1015, 520),
    "tuba": (3285, 525),
    "viola": (6530, 485),
    "violin": (7430, 945),
}
"""Published pairs (train, test) of each class.

Source: Chen et al. 2017, table 2, with its test counts of horn, flute and trombone put right (it
prints 145, 525 and 925): only so do the columns add up to the 80,805 pairs that the paper tells."""
WINDOW_MS = 500
"""Duration of a sound."""
HOP_MS = 100
"""From one pair to the next."""


class Take(NamedTuple):
    """One recording: its files by their label, ms."""

    id: str
    label: str
    split: str
    images: dict[int, Path]
    sounds: dict[int, Path]

    @property
    def joined(self) -> list[int]:
        """Labels that have both image and sound, sorted."""
        return sorted(self.images.keys() & self.sounds.keys())


def read(roots: Sequence[Path]) -> Listing:
    """One album per recording; a moment is one image and its half second of sound.

    Args:
        roots: the folder Sub-URMP.

    Returns:
        Albums in order of their ids; orphans, odd names and counts that differ are noted.

    Raises:
        ValueError: if the root holds no pair.
    """
    takes, notes = read_takes("sub_urmp", roots)
    counts: Counter[tuple[str, str]] = Counter()
    albums: list[Source] = []
    for take in takes:
        moments = tuple(
            Moment(
                name=f"{ms:07d}",
                images=(str(take.images[ms]),),
                sounds=(str(take.sounds[ms]),),
                start_s=start_s(ms),
            )
            for ms in take.joined
        )
        counts[take.label, take.split] += len(moments)
        if moments:
            albums.append(Album(take.id, moments, label=take.label, split=take.split))
    for label, published in COUNTS.items():
        for split, expected in zip(("train", "test"), published, strict=True):
            if (have := counts[label, split]) != expected:
                notes.append(f"{label}: {have:,} pairs in {split}; published: {expected:,}")
    return Listing(albums, notes)


def start_s(ms: int) -> float:
    """Where the window with this label begins in its recording, seconds."""
    return (ms - WINDOW_MS) / 1000


def read_takes(layout: str, roots: Sequence[Path]) -> tuple[list[Take], list[str]]:
    """The recordings of Sub-URMP in order of their ids, and notes.

    Args:
        layout: name of the layout, for errors.
        roots: the folder Sub-URMP, or the one that holds it.

    Raises:
        ValueError: if there is no pair.
    """
    (root,) = tree.the_folders(layout, roots, "the folder Sub-URMP with img and chunk")
    top = tree.home(root, "img", "chunk")
    if top is None:
        raise tree.unlike(root, layout, TREE)
    notes: list[str] = []
    found: dict[tuple[str, str, str], Take] = {}
    for kind, suffixes in (("img", tree.IMAGES), ("chunk", (".wav",))):
        odd = _collect(top, kind, suffixes, found)
        if odd:
            notes.append(f"{kind}: {tree.plural(len(odd), 'file')} left out, such as {odd[0]}")
    takes = _name(found, notes)
    if not any(take.joined for take in takes):
        raise tree.unlike(root, layout, TREE)
    no_sound = sum(len(take.images.keys() - take.sounds.keys()) for take in takes)
    no_image = sum(len(take.sounds.keys() - take.images.keys()) for take in takes)
    if no_sound or no_image:
        notes.append(f"orphans: {no_sound:,} images without sound, {no_image:,} without image")
    off = sum(ms % HOP_MS != 0 or ms < WINDOW_MS for take in takes for ms in take.joined)
    if off:
        notes.append(
            f"hop: {tree.plural(off, 'label')} off the grid of {WINDOW_MS}, 600, 700, ... ms"
        )
    return takes, notes


def _collect(
    top: Path,
    kind: str,
    suffixes: Sequence[str],
    found: dict[tuple[str, str, str], Take],
) -> list[str]:
    """Add the images, or sounds, of both splits to the takes; names that tell nothing remain."""
    odd: list[str] = []
    for folder in SPLITS:
        place = tree.child(top, kind)
        place = place and tree.child(place, folder)
        for instrument in tree.folders(place) if place else []:
            label = instrument.name.lower()
            pattern = re.compile(rf"{re.escape(label)}(\d+)_(\d+)", re.IGNORECASE)
            for path in tree.files(instrument, suffixes):
                match = pattern.fullmatch(path.stem)
                if match is None:
                    odd.append(tree.relative(path, top))
                    continue
                key = (label, f"{int(match[1]):02d}", folder)
                take = found.setdefault(key, Take("", label, SPLITS[folder], {}, {}))
                part = take.images if kind == "img" else take.sounds
                if part.setdefault(int(match[2]), path) is not path:
                    odd.append(tree.relative(path, top))
    return odd


def _name(found: dict[tuple[str, str, str], Take], notes: list[str]) -> list[Take]:
    """Give every take its id: "cello00", with the folder before it if both splits have one."""
    in_both = {
        (label, number)
        for label, number, folder in found
        if folder == "validation" and (label, number, "train") in found
    }
    for label, number in sorted(in_both):
        notes.append(f"{label}{number} stands in train and validation: the splits leak")
    takes = [
        take._replace(id=f"{folder}/{name}" if (label, number) in in_both else name)
        for (label, number, folder), take in found.items()
        for name in [f"{label}{number}"]
    ]
    unknown = sorted({take.label for take in takes} - COUNTS.keys())
    if unknown:
        notes.append(f"classes that Sub-URMP does not have: {', '.join(unknown)}")
    return sorted(takes, key=lambda take: take.id)

"""Spoken digits with handwritten ones: FSDD's sounds, each with MNIST images of the same digit.

Sources: Z. Jackson et al., "Free Spoken Digit Dataset" (CC BY-SA 4.0), six speakers, 3,000 sounds;
Y. LeCun, C. Cortes, C. Burges, "The MNIST database" (CC BY-SA 3.0), 70,000 images.

```
FSDD/[recordings/]<digit>_<speaker>_<index>.wav
MNIST/{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]
```
Published splits: sounds with index 0 to 4 are test, with images of t10k; all others are train, with
images of MNIST's train. A sound gets up to four images, dealt by a hash of the names, no image
twice: so val, cut from train by sound, shares none with it either.

Sounds are 8 kHz, 0.14 to 2.3 s long, half of them below 0.43 s. Clips are 1 s: shorter ones are
followed by silence, longer ones (15 of the 2,100 with index below 35) lose their end.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import NamedTuple

from soundsight.data.album import read_idx
from soundsight.data.layouts import pairing, tree
from soundsight.data.source import Album, Listing, Moment
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=1, fps=1, size=64, channels=1, sample_rate=8000)
TREE = (
    "two folders: FSDD/<digit>_<speaker>_<index>.wav (or FSDD/recordings/...) and "
    "MNIST/{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]"
)
TEST_BELOW = 5
"""Sounds with a smaller index are test. Source: FSDD's README."""
IMAGES_PER_SOUND = 4
"""At most: 2,700 sounds for training make 10,800 pairs, of MNIST's 60,000 images."""


class Spoken(NamedTuple):
    """One sound of FSDD."""

    path: Path
    digit: int
    speaker: str
    number: int


def read(roots: Sequence[Path]) -> Listing:
    """One album per sound, with the published splits.

    Args:
        roots: the folders of FSDD and of MNIST.

    Returns:
        Albums in order of their ids.

    Raises:
        ValueError: if either folder holds nothing of its data set, or MNIST's files are damaged.
    """
    spoken, mnist, notes = read_both("fsdd_mnist", roots)
    splits = {s.path.stem: "test" if s.number < TEST_BELOW else "train" for s in spoken}
    return pair(spoken, splits, mnist, notes)


def read_both(layout: str, roots: Sequence[Path]) -> tuple[list[Spoken], Path, list[str]]:
    """The sounds, MNIST's folder, and notes.

    Args:
        layout: its name, for errors.
        roots: the folders of FSDD and of MNIST.

    Raises:
        ValueError: if they are no two folders, or there is no sound.
    """
    fsdd, mnist = tree.the_folders(layout, roots, "FSDD's folder", "MNIST's folder")
    top = tree.child(fsdd, "recordings") or fsdd
    spoken: dict[str, Spoken] = {}
    odd = []
    for path in tree.files(top, (".wav",)):
        match = re.fullmatch(r"(\d)_([^_]+)_(\d+)", path.stem)
        if match and path.stem not in spoken:
            speaker = match[2].lower()
            spoken[path.stem] = Spoken(path, int(match[1]), speaker, int(match[3]))
        else:
            odd.append(path.name)
    if not spoken:
        raise tree.unlike(fsdd, layout, TREE)
    notes = [f"{tree.plural(len(odd), 'sound')} left out, such as {odd[0]}"] if odd else []
    return list(spoken.values()), mnist, notes


def pair(
    spoken: Sequence[Spoken],
    splits: dict[str, str],
    mnist: Path,
    notes: list[str],
    *,
    by_speaker: bool = False,
) -> Listing:
    """One album per sound, with its images.

    Args:
        spoken: the sounds.
        splits: the split of each, by the stem of its name; test gets images of t10k.
        mnist: folder of the images.
        notes: of what was found so far.
        by_speaker: whether a speaker is a group.

    Raises:
        ValueError: if a file of MNIST is missing or damaged.
    """
    files: dict[str, Path] = {}
    images: dict[Hashable, list[str]] = defaultdict(list)
    for prefix in ("train", "t10k"):
        file = _file(mnist, f"{prefix}-images-idx3-ubyte")
        digits = read_idx(_file(mnist, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
        if len(digits) != len(read_idx(file, dimensions=3)):
            raise ValueError(f"{mnist}: {prefix}: images and labels of MNIST must be as many")
        for i, digit in enumerate(digits):
            images[prefix, int(digit)].append(f"{prefix}#{i}")
        files[prefix] = file
    sounds: dict[Hashable, list[str]] = defaultdict(list)
    for sound in spoken:
        prefix = "t10k" if splits[sound.path.stem] == "test" else "train"
        sounds[prefix, sound.digit].append(sound.path.stem)
    dealt = pairing.deal(images, sounds, IMAGES_PER_SOUND)
    albums = []
    for sound in spoken:
        name = sound.path.stem
        moments = []
        for i, image in enumerate(dealt[name]):
            prefix, _, place = image.partition("#")
            moments.append(Moment(f"{i}", (f"{files[prefix]}#{place}",), (str(sound.path),)))
        group = sound.speaker if by_speaker else ""
        if moments:
            albums.append(
                Album(name, tuple(moments), label=str(sound.digit), split=splits[name], group=group)
            )
    if len(albums) < len(spoken):
        notes = [
            *notes,
            f"{tree.plural(len(spoken) - len(albums), 'sound')} left out: no image left",
        ]
    return Listing(sorted(albums, key=lambda album: album.id), notes)


def _file(folder: Path, name: str) -> Path:
    """A file of MNIST, gzipped or not."""
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise ValueError(f"{folder}: has no {name}, gzipped or not; expected {TREE}")

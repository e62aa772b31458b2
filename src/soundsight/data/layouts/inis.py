"""Images and sounds that have nothing in common but their class, as INIS: any two folders.

Source: L. Chen, S. Srivastava, Z. Duan, C. Xu, "Deep cross-modal audio-visual generation" (ACM
Multimedia Thematic Workshops 2017): images of five classes from ImageNet, each paired with half a
second of a solo recording of that instrument, 4,461 pairs for training and 1,905 for testing. The
pairs were not published; this makes the like of any folders, under their own licences.

```
IMAGES/<class>/*.jpg
SOUNDS/<class>/*.wav
```
Classes are matched by the names of the folders. A sound is one album: it is cut into windows of
0.5 s, and the images of the class are dealt out to the sounds by a hash of their names, none to two
of them. So a split by sound is also one by image. (The paper does not tell whether its splits
shared a recording.) A sound with fewer images than windows shows them in turn.

Headers of the sounds are read, for their duration.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from soundsight.data.layouts import pairing, tree
from soundsight.data.source import Album, Listing, Moment
from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError, probe

SPEC = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44100)
TREE = "two folders: IMAGES/<class>/*.jpg and SOUNDS/<class>/*.wav, classes of the same names"


def read(roots: Sequence[Path]) -> Listing:
    """One album per sound; a moment is half a second of it with an image of the class.

    Args:
        roots: the folder of images and the folder of sounds.

    Returns:
        Albums in order of their ids; classes on one side only, and sounds that are too short or
        cannot be read, are noted.

    Raises:
        ValueError: if no class has both images and sounds.
    """
    image_root, sound_root = tree.the_folders(
        "inis", roots, "the folder of images by class", "the folder of sounds by class"
    )
    spelling: dict[str, str] = {}
    images = _by_class(image_root, tree.IMAGES, spelling)
    sounds = _by_class(sound_root, tree.SOUNDS, spelling)
    labels = sorted(images.keys() & sounds.keys(), key=str)
    if not labels:
        raise tree.unlike(sound_root, "inis", TREE)
    notes = [
        f"{label}: {what} only, left out"
        for what, here, there in (("images", images, sounds), ("sounds", sounds, images))
        for label in sorted(here.keys() - there.keys(), key=str)
    ]
    dealt = pairing.deal(images, {label: sounds[label] for label in labels})
    albums: list[Album] = []
    for label in labels:
        unused = 0
        for name in sounds[label]:
            share = [str(image_root / image) for image in dealt[name]]
            unused += not share
            moments = _windows(sound_root / name, share, notes) if share else ()
            if moments:
                albums.append(Album(name, moments, label=str(label)))
        if unused:
            notes.append(
                f"{label}: {tree.plural(unused, 'sound')} left out: more sounds than images"
            )
    return Listing(sorted(albums, key=lambda album: album.id), notes)


def _by_class(
    root: Path, suffixes: Sequence[str], spelling: dict[str, str]
) -> dict[Hashable, list[str]]:
    """Names below the root of the files of each class."""
    found: dict[Hashable, list[str]] = defaultdict(list)
    for folder in tree.folders(root):
        names = [tree.relative(path, root) for path in tree.walk(folder, suffixes)]
        if names:
            found[tree.one_spelling(spelling, folder.name)] += names
    return found


def _windows(path: Path, images: Sequence[str], notes: list[str]) -> tuple[Moment, ...]:
    """The windows of a sound, each with the next of the images."""
    try:
        info = probe(path)
    except MediaError as error:
        notes.append(f"left out: {error}")
        return ()
    count = int(info.seconds / SPEC.seconds + 1e-6) if info.has_audio else 0
    if count == 0:
        notes.append(f"left out: {path}: shorter than {SPEC.seconds:g} s")
    return tuple(
        Moment(
            name=f"{round(1000 * i * SPEC.seconds):07d}",
            images=(images[i % len(images)],),
            sounds=(f"{path}#t={i * SPEC.seconds:g}",),
            start_s=i * SPEC.seconds,
        )
        for i in range(count)
    )

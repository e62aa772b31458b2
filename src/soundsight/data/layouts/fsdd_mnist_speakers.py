"""Spoken digits with handwritten ones, no speaker in two splits.

Sources, licences and tree as in `fsdd_mnist`. Speakers, in the order of a hash of their names: the
first sixth (of FSDD's six, one) is test, with images of MNIST's t10k; the next sixth val; all
others train. Every speaker is whole, so sounds with index 0 to 4 are in training, too.
"""

from collections.abc import Sequence
from pathlib import Path

from soundsight.data.layouts import fsdd_mnist, pairing
from soundsight.data.source import Listing

SPEC = fsdd_mnist.SPEC
TREE = fsdd_mnist.TREE


def read(roots: Sequence[Path]) -> Listing:
    """One album per sound, with splits by speaker.

    Args:
        roots: the folders of FSDD and of MNIST.

    Returns:
        Albums in order of their ids; the notes tell who is in which split.

    Raises:
        ValueError: if either folder holds nothing of its data set, MNIST's files are damaged, or
            there are fewer than three speakers.
    """
    spoken, mnist, notes = fsdd_mnist.read_both("fsdd_mnist_speakers", roots)
    speakers = pairing.ranked({sound.speaker for sound in spoken})
    if len(speakers) < 3:
        raise ValueError(
            f"{roots[0]}: three splits need three speakers, here are {len(speakers)} "
            f"({', '.join(speakers)}); layout fsdd_mnist splits by recording"
        )
    each = max(1, round(len(speakers) / 6))
    role = {
        name: "test" if i < each else "val" if i < 2 * each else "train"
        for i, name in enumerate(speakers)
    }
    told = [
        f"{split}: {', '.join(sorted(name for name in role if role[name] == split))}"
        for split in ("train", "val", "test")
    ]
    splits = {sound.path.stem: role[sound.speaker] for sound in spoken}
    return fsdd_mnist.pair(spoken, splits, mnist, [*notes, *told], by_speaker=True)

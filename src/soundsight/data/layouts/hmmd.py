"""HMMD, the Hand Motion Music Dataset: hands that play seven instruments, clips of 1 s.

Source: V. Kurmi et al., "Collaborative learning to generate audio-video jointly" (ICASSP 2021). The
paper lists 77 videos from YouTube and the number of clips cut from them; the videos themselves were
not found published, so they are yours to collect, under the conditions of their authors.

```
HMMD/<class>/*.mp4          cello, tabla, ghatam, erhu, acoustic_guitar, xylophone, violin
```
The class is the folder's name. The paper's 80:20 split must have been by clip, which lets nearly
the same picture stand on both sides: ghatam has a single video. Split by video for honest scores.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soundsight.data.layouts import tree
from soundsight.data.layouts.classes import read_classes
from soundsight.data.source import Listing
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16000)
TREE = "HMMD/{cello,tabla,ghatam,erhu,acoustic_guitar,xylophone,violin}/*.mp4"
VIDEOS = {
    "cello": 15,
    "tabla": 3,
    "ghatam": 1,
    "erhu": 12,
    "acoustic_guitar": 11,
    "xylophone": 10,
    "violin": 25,
}
"""Published videos of each class; 6,229 clips were cut from them. Source: Kurmi et al., table 2."""


def read(roots: Sequence[Path]) -> Listing:
    """One recording per video, labelled with its folder.

    Args:
        roots: the folder HMMD.

    Returns:
        Recordings in order of their ids; classes with other numbers of videos than published, or
        with too few to stand in every split, are noted.

    Raises:
        ValueError: if there is no video in a folder of a class.
    """
    listing = read_classes("hmmd", TREE, roots)
    counts = Counter(str(source.label) for source in listing.sources)
    notes = [*listing.notes]
    for label, published in VIDEOS.items():
        have = sum(n for name, n in counts.items() if _plain(name) == _plain(label))
        if have != published:
            notes.append(f"{label}: {tree.plural(have, 'video')}; published: {published}")
    for label, have in sorted(counts.items()):
        if have < 3:
            notes.append(
                f"{label}: {tree.plural(have, 'video')}, too few for three splits by video"
            )
    return Listing(listing.sources, notes)


def _plain(name: str) -> str:
    """Letters only: "Ac.Guitar", as the paper writes it, is acoustic_guitar."""
    letters = "".join(c for c in name.casefold() if c.isalpha())
    return letters.replace("acoustic", "ac")

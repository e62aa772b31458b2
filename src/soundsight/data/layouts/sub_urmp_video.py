"""Sub-URMP-Video: clips of 1 s, 10 frames a second, put together from the pairs of Sub-URMP.

Source: V. Kurmi et al., "Collaborative learning to generate audio-video jointly" (ICASSP 2021),
from Sub-URMP, in whose folders it is looked for (see `sub_urmp`, also for the licence).

A clip that begins at t seconds has the images with the labels 1000 t + 500, + 600, ... + 1400 (an
image is the first picture of its half second) and the sounds labelled 1000 t + 500 and + 1000,
which abut. The four sounds in between lie across the seam: reading a clip compares them with what
was joined. Frame k is thus the picture at t + k/10, half a frame before the middle of its time.

Clips follow one another from a recording's first label on, without overlap. Clips that differ from
those of the paper: its authors removed some by hand, and did not say which.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from soundsight.data.layouts import sub_urmp, tree
from soundsight.data.layouts.sub_urmp import HOP_MS, WINDOW_MS, Take
from soundsight.data.source import Album, Bridge, Listing, Moment, Source
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16000)
TREE = sub_urmp.TREE
CLIP_MS = 2 * WINDOW_MS
COUNTS = {
    "bassoon": (135, 37),
    "cello": (881, 94),
    "clarinet": (716, 92),
    "double_bass": (123, 114),
    "flute": (511, 90),
    "horn": (475, 49),
    "oboe": (394, 36),
    "sax": (696, 81),
    "trombone": (787, 77),
    "trumpet": (100, 49),
    "tuba": (323, 49),
    "viola": (648, 48),
    "violin": (707, 91),
}
"""Published clips (train, test) of each class. Source: Kurmi et al. 2021, table 1."""


def read(roots: Sequence[Path]) -> Listing:
    """One album per recording; a moment is a clip of ten images and two abutting sounds.

    Args:
        roots: the folder Sub-URMP.

    Returns:
        Albums in order of their ids; clips that lack an image or a sound are counted in the notes,
        as are classes whose number of clips differs from the paper's.

    Raises:
        ValueError: if the root holds no pair, or no clip.
    """
    takes, notes = sub_urmp.read_takes("sub_urmp_video", roots)
    counts: Counter[tuple[str, str]] = Counter()
    albums: list[Source] = []
    for take in takes:
        moments, lacking = _clips(take)
        if lacking:
            notes.append(
                f"{take.id}: {tree.plural(lacking, 'clip')} left out: an image or sound is missing"
            )
        unchecked = sum(not moment.bridges for moment in moments)
        if unchecked:
            notes.append(
                f"{take.id}: {tree.plural(unchecked, 'clip')} without a sound across the seam "
                "to check it"
            )
        counts[take.label, take.split] += len(moments)
        if moments:
            albums.append(Album(take.id, tuple(moments), label=take.label, split=take.split))
    if not albums:
        raise ValueError(
            f"{roots[0]}: no clip of 1 s: it takes ten successive images and two abutting sounds, "
            f"in {TREE}"
        )
    return Listing(albums, [*notes, *_compare(counts)])


def _clips(take: Take) -> tuple[list[Moment], int]:
    """The clips of a recording, and how many of those within it lack a file."""
    labels = sorted(take.images.keys() | take.sounds.keys())
    last = labels[-1] - CLIP_MS + HOP_MS
    clips, lacking = [], 0
    for first in range(labels[0], last + 1, CLIP_MS):
        images = range(first, first + CLIP_MS, HOP_MS)
        sounds = (first, first + WINDOW_MS)
        if not (take.images.keys() >= set(images) and take.sounds.keys() >= set(sounds)):
            lacking += 1
            continue
        bridges = tuple(
            Bridge(str(take.sounds[ms]), (ms - first) / 1000)
            for ms in range(first + HOP_MS, first + WINDOW_MS, HOP_MS)
            if ms in take.sounds
        )
        clips.append(
            Moment(
                name=f"{first:07d}",
                images=tuple(str(take.images[ms]) for ms in images),
                sounds=tuple(str(take.sounds[ms]) for ms in sounds),
                start_s=sub_urmp.start_s(first),
                bridges=bridges,
            )
        )
    return clips, lacking


def _compare(counts: Counter[tuple[str, str]]) -> list[str]:
    """A line per split whose clips are not as many as the paper's."""
    notes = []
    for i, split in enumerate(("train", "test")):
        pairs = {label: (counts[label, split], n[i]) for label, n in COUNTS.items()}
        differing = [f"{k} {have}/{told}" for k, (have, told) in pairs.items() if have != told]
        if differing:
            have, told = (sum(pair[j] for pair in pairs.values()) for j in range(2))
            notes.append(
                f"{split}: {have:,} clips; Kurmi et al. report {told:,} (here/there: "
                f"{', '.join(differing)})"
            )
    return notes

"""GRID with speakers kept apart: nobody who is heard in one split is heard in another.

Source, licence and tree as in `grid`; there has to be a folder s<N> for each of several speakers.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from soundsight.data.layouts import grid, tree
from soundsight.data.source import Listing

SPEC = grid.SPEC
TREE = "GRID/s<N>/*.{mpg,align} or GRID/s<N>/{video/*.mpg,align/*.align}"


def read(roots: Sequence[Path]) -> Listing:
    """One recording per sentence, in groups by speaker.

    Args:
        roots: the folder with those of the speakers.

    Returns:
        Recordings in order of their ids.

    Raises:
        ValueError: if there are videos of fewer than three speakers, or of none that is known.
    """
    recordings, notes, speakers = grid.read_speakers("grid_speakers", roots)
    known = sorted(set(speakers) - {""})
    if len(known) < 3:
        raise ValueError(
            f"{roots[0]}: three splits need three speakers, here are {len(known)} "
            f"({', '.join(known) or 'no folder s<N>'}); expected {TREE}; layout grid splits by "
            "recording"
        )
    unknown = speakers.count("")
    if unknown:
        notes = [*notes, f"{tree.plural(unknown, 'video')} in no folder s<N>, left out"]
    return Listing(
        [
            replace(recording, group=speaker)
            for recording, speaker in zip(recordings, speakers, strict=True)
            if speaker
        ],
        notes,
    )

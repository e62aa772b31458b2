"""The judge of `Orchestra`: what is heard, what is seen, and whether they happen together.

`hear` reads sound alone and `look` pictures alone, so that what a model generates can be compared
with what it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from soundsight.data.orchestra_hear import Heard, hear
from soundsight.data.orchestra_look import Seen, look
from soundsight.media.clip import ClipSpec

__all__ = ["Heard", "Seen", "Synchrony", "hear", "look", "nearest_pitches", "synchrony"]


@dataclass(frozen=True)
class Synchrony:
    """How far onsets heard and strokes seen of b clips fall together.

    **Range/direction**: shares are 0 to 1, higher is better; NaN where there is nothing to share.
    **Reference values**: 1 for the truth; see docs/data/orchestra.md for clean clips and for
    sounds of other clips, which are far from 0.
    """

    onsets_met: Int64[np.ndarray, " b"]
    """Onsets with a stroke within the tolerance."""
    onsets: Int64[np.ndarray, " b"]
    """Onsets in all."""
    strokes_met: Int64[np.ndarray, " b"]
    """Strokes with an onset within the tolerance."""
    strokes: Int64[np.ndarray, " b"]
    """Strokes in all."""

    @property
    def onset_share(self) -> float:
        """Share of all clips' onsets with a stroke."""
        return _share(self.onsets_met, self.onsets)

    @property
    def stroke_share(self) -> float:
        """Share of all clips' strokes with an onset."""
        return _share(self.strokes_met, self.strokes)

    @property
    def f1(self) -> float:
        """Harmonic mean of the two shares."""
        a, b = self.onset_share, self.stroke_share
        return 2 * a * b / (a + b) if a + b > 0 else a + b


def synchrony(
    onsets: Sequence[np.ndarray], strokes: Sequence[np.ndarray], spec: ClipSpec
) -> Synchrony:
    """Count the onsets with a stroke no further than one frame away, and the reverse.

    Args:
        onsets: of each clip, when notes begin, s; NaN are left out.
        strokes: of each clip, when strokes begin, s; NaN are left out.
        spec: its frame rate sets the tolerance, 1 / fps.

    Returns:
        Counts by clip and shares over all clips. One stroke may meet several onsets.

    Raises:
        ValueError: if the numbers of clips differ.

    Example:
        >>> found = synchrony([np.array([0.1, 0.5])], [np.array([0.15])], ClipSpec(10, fps=10))
        >>> found.onset_share, found.stroke_share
        (0.5, 1.0)
    """
    if len(onsets) != len(strokes):
        raise ValueError(f"{len(onsets)} clips of onsets and {len(strokes)} of strokes must match")
    tolerance = 1 / spec.fps + 1e-9
    counts = np.zeros((4, len(onsets)), dtype=np.int64)
    for row, (heard, seen) in enumerate(zip(onsets, strokes, strict=True)):
        heard, seen = heard[np.isfinite(heard)], seen[np.isfinite(seen)]
        near = np.abs(heard[:, None] - seen) <= tolerance
        counts[:, row] = near.any(1).sum(), len(heard), near.any(0).sum(), len(seen)
    return Synchrony(*counts)


def _share(part: Int64[np.ndarray, " b"], whole: Int64[np.ndarray, " b"]) -> float:
    total = int(whole.sum())
    return int(part.sum()) / total if total else float("nan")


def nearest_pitches(
    heard: Heard, onset_s: Float64[np.ndarray, "b m"]
) -> Float64[np.ndarray, "b m"]:
    """Pitch heard, as MIDI, at the onset found nearest to each given one.

    Args:
        heard: of b clips.
        onset_s: onsets to look up, s; rows are filled up with NaN.

    Returns:
        MIDI, 69 is 440 Hz; NaN for a NaN, and where nothing was heard.
    """
    found = np.full(onset_s.shape, np.nan)
    for row, (times, hertz) in enumerate(zip(heard.onsets, heard.pitches_hz, strict=True)):
        for k in np.nonzero(np.isfinite(onset_s[row]))[0]:
            if len(times):
                nearest = np.abs(times - onset_s[row, k]).argmin()
                found[row, k] = 69 + 12 * np.log2(hertz[nearest] / 440)
    return found

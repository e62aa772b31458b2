"""The judge of `Orchestra`: what is heard, what is seen, and whether they happen together.

`hear` reads sound alone and `look` pictures alone, so that what a model generates can be compared
with what it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from soundsight.data.orchestra_hear import Heard, hear
from soundsight.data.orchestra_look import Seen, look
from soundsight.data.orchestra_notes import LOWS, frequency
from soundsight.data.perceived import UNKNOWN, Perceived, perceive_by
from soundsight.media.clip import Clip, ClipSpec

__all__ = ["Heard", "Seen", "Synchrony", "hear", "look", "nearest_pitches", "perceive", "synchrony"]

CONFIDENT, CONTRAST = 0.1, 0.02
"""Least confidence of a look, and least standard deviation of the pixels of a frame, for a player
to count as seen. Clean clips have more than five times as much of either."""


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


def perceive(clip: Clip) -> Perceived:
    """What is seen and what is heard in clips, one number of each kind per clip, to be compared.

    The place is the median of the hand's pose over the frames; `place_in_class` along the
    instrument of the clip's label, if it has one, so that soft pictures whose instrument is
    mistaken for another's can still be asked for the pose. The pitch is the median, over the
    same moments, of the note that sounds then (before the first, that one), in octaves above the
    lowest note of the instrument heard: a pose says where in its register an instrument plays, so
    that pitch and class are told apart. A clip without a player in sight has the place NaN, one
    without a note the pitch NaN, and the class of either is `UNKNOWN`. A single frame has no times.

    Raises:
        ValueError: if the clips lack video or sound, or hold values that are not finite.
    """
    return perceive_by(_perceive, clip)


def _perceive(clip: Clip) -> Perceived:
    assert clip.video is not None
    assert clip.audio is not None
    seen, heard = look(clip.video, clip.spec), hear(clip.audio, clip.spec)
    flat = clip.video.flatten(2)
    contrast = torch.std(flat, dim=-1, correction=0).median(1).values.numpy()
    visible = (seen.confidence >= CONFIDENT) & (contrast >= CONTRAST)
    frames = clip.video.shape[1]
    moments = (np.arange(frames) + 0.5) / clip.spec.fps
    lowest = frequency(LOWS[heard.classes].astype(np.float64))
    place = np.where(visible, np.median(seen.pose, axis=1), np.nan)
    return Perceived(
        place=place,
        place_in_class=_place_in_class(clip, seen, place),
        pitch=np.log2(_sounding(heard, moments) / lowest),
        seen_class=np.where(visible, seen.classes, UNKNOWN),
        heard_class=np.where(np.isfinite(heard.pitch_hz), heard.classes, UNKNOWN),
        seen_times_s=seen.strokes if frames > 1 else None,
        heard_times_s=heard.onsets if frames > 1 else None,
    )


def _place_in_class(
    clip: Clip, seen: Seen, place: Float64[np.ndarray, " b"]
) -> Float64[np.ndarray, " b"] | None:
    """The place along the instrument of the label, looked for again where another was seen."""
    if clip.label is None:
        return None
    assert clip.video is not None
    label = clip.label.numpy()
    found = np.where(label >= 0, place, np.nan)
    again = np.isfinite(found) & (label != seen.classes)
    if again.any():
        others = look(clip.video[torch.from_numpy(again)], clip.spec, known=label[again])
        found[again] = np.median(others.pose, axis=1)
    return found


def _sounding(heard: Heard, moments: Float64[np.ndarray, " t"]) -> Float64[np.ndarray, " b"]:
    """Median over the moments, s, of the pitch of the latest note, Hz; NaN where none is heard."""
    found = np.full(len(heard.onsets), np.nan)
    for row, (times, hertz) in enumerate(zip(heard.onsets, heard.pitches_hz, strict=True)):
        told = np.isfinite(hertz)
        if told.any():
            latest = np.searchsorted(times[told], moments, side="right") - 1
            found[row] = np.median(hertz[told][np.maximum(latest, 0)])
    return found

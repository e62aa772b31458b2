"""AV-Align: do peaks of motion and onsets of sound fall together? The published metric.

Differences from the published code: 1. matches are one to one, so that the score is at most 1
(there, several onsets may meet one peak and the score may exceed 1). 2. A clip without onsets and
without peaks has no score, NaN (there, a division by zero). 3. Pictures and sound are taken as they
are, not from compressed files. Chance is large at low frame rates: give the score of shuffled pairs
beside it (`aligned`).

Needs librosa and OpenCV: `pip install "soundsight[metrics]"`. The very first sound takes a while,
as librosa compiles itself; what it compiled is kept for the next time.

Source: G. Yariv, I. Gat, S. Benaim, L. Wolf, I. Schwartz and Y. Adi, "Diverse and aligned
audio-to-video generation via text-to-video model adaptation" (TempoTokens), AAAI 2024, arXiv
2309.16429; numbers from its code, and the least motion from that of its successors.
"""

from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8

from soundsight.evaluation.consistency import event_iou
from soundsight.evaluation.permutation import (
    PermutationTest,
    Result,
    Statistic,
    beside,
    permutation_test,
)
from soundsight.media.clip import Clip

SAMPLE_RATE = 22_050
"""Rate that sounds are brought to, Hz: librosa's own, at which the published code reads files."""
LEAST_MOTION = 0.1
"""Mean optical flow of a peak, pixels per frame, at least."""


class Peaks(NamedTuple):
    """When sound and motion of b clips peak."""

    heard: list[np.ndarray]
    """Of each clip, the onsets, s, ascending."""
    seen: list[np.ndarray]
    """Of each clip, the peaks of motion, s, ascending."""


def _extras() -> tuple[ModuleType, ModuleType]:
    """Librosa and OpenCV, loaded when they are first needed."""
    try:
        import cv2
        import librosa
    except ImportError as error:
        raise ValueError(
            f"AV-Align needs librosa and OpenCV, and {error.name} is absent; "
            'pip install "soundsight[metrics]"'
        ) from error
    return librosa, cv2


def find_peaks(clip: Clip) -> Peaks:
    """Onsets by librosa, and peaks of the mean optical flow by OpenCV.

    Args:
        clip: b clips with video and sound.

    Raises:
        ValueError: if librosa or OpenCV is absent, or the clips lack video or sound.
    """
    librosa, cv2 = _extras()
    if clip.video is None or clip.audio is None:
        raise ValueError(f"the clip has only {', '.join(clip.parts())}; AV-Align needs both")
    frames = (clip.video.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    pictures = frames.movedim(2, -1).contiguous().numpy()
    sounds = clip.audio.detach().cpu().float().numpy()
    rate, fps = clip.spec.sample_rate, float(clip.spec.fps)
    return Peaks(
        heard=[_onsets(librosa, sound, rate) for sound in sounds],
        seen=[motion_peaks(_flow(cv2, video)) / fps for video in pictures],
    )


def _onsets(
    librosa: ModuleType, sound: Float32[np.ndarray, " n"], rate: int
) -> Float64[np.ndarray, " i"]:
    """With librosa's own settings, s."""
    wave = librosa.resample(sound, orig_sr=rate, target_sr=SAMPLE_RATE)
    strength = librosa.onset.onset_strength(y=wave, sr=SAMPLE_RATE)
    found = librosa.onset.onset_detect(onset_envelope=strength, sr=SAMPLE_RATE)
    return np.asarray(librosa.frames_to_time(found, sr=SAMPLE_RATE), dtype=np.float64)


def _flow(cv2: ModuleType, video: UInt8[np.ndarray, "t h w c"]) -> Float64[np.ndarray, " t"]:
    """Mean length of the optical flow (Farneback) into each frame, px; the first has the second's.

    A single frame has none.
    """
    grey = [frame[..., 0] for frame in video]
    if video.shape[-1] == 3:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in video]
    lengths = []
    for before, after in pairwise(grey):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        lengths.append(float(np.hypot(flow[..., 0], flow[..., 1]).mean()))
    return np.array([*lengths[:1], *lengths]) if lengths else np.zeros(len(grey))


def motion_peaks(flow: Float64[np.ndarray, " t"]) -> Int64[np.ndarray, " i"]:
    """Frames whose flow is above that of both neighbours, and at least `LEAST_MOTION`.

    Example:
        >>> motion_peaks(np.array([0.0, 0.5, 0.2, 0.2, 0.05, 0.09, 0.0])).tolist()
        [1]
    """
    inner = flow[1:-1]
    peak = (inner > flow[:-2]) & (inner > flow[2:]) & (inner >= LEAST_MOTION)
    return np.nonzero(peak)[0] + 1


def av_align(clip: Clip) -> Float64[np.ndarray, " b"]:
    """AV-Align of each clip: matches / (onsets + peaks - matches), within less than a frame.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: far above 0 for independent
    picture and sound, and below 1 for real clips; see `aligned`.

    Args:
        clip: b clips with video and sound.

    Returns:
        One score per clip; NaN where there is neither an onset nor a peak.

    Raises:
        ValueError: if librosa or OpenCV is absent, or the clips lack video or sound.
    """
    return np.diag(_table(find_peaks(clip), float(clip.spec.fps))).copy()


def _table(peaks: Peaks, fps: float) -> Float64[np.ndarray, "n n"]:
    """Score of every sound with every picture; the published distance is less than 1 / fps."""
    return event_iou(peaks.heard, peaks.seen, 1 / fps - 1e-9)


def aligned(
    peaks: Peaks,
    real: Peaks | None,
    fps: float | int,
    *,
    permutations: int = 9999,
    seed: int,
) -> Result:
    """Mean AV-Align of clips, beside that of shuffled pairs and that of real clips.

    Args:
        peaks: of n generated clips; join those of several batches with `join_peaks`.
        real: of real clips; None leaves their value out.
        fps: frames per second.
        permutations: random pairings of the test.
        seed: of the pairings.

    Returns:
        Means over the pairs that have an onset or a peak; 0 if none has. `readable` is the share of
        clips with both.

    Raises:
        ValueError: if there are fewer than two clips.
    """
    own = _test(peaks, float(fps), permutations, seed)
    other = None if real is None else _test(real, float(fps), permutations, seed)
    return beside(own, other, len(peaks.heard))


def _test(peaks: Peaks, fps: float, permutations: int, seed: int) -> tuple[PermutationTest, float]:
    """The mean against shuffled pairs, and the share of the clips with an onset and a peak."""
    statistic, n = _mean_of_known(_table(peaks, fps)), len(peaks.heard)
    readable = [len(a) > 0 and len(b) > 0 for a, b in zip(*peaks, strict=True)]
    test = permutation_test(statistic, n, permutations=permutations, seed=seed)
    return test, float(np.mean(readable))


def _mean_of_known(table: Float64[np.ndarray, "n n"]) -> Statistic:
    """Mean over the pairs that have a score."""
    sounds = np.arange(len(table))
    known, scores = np.isfinite(table), np.nan_to_num(table, nan=0.0)
    return lambda pairing: (
        scores[sounds, pairing].sum(1) / np.maximum(known[sounds, pairing].sum(1), 1)
    )


def join_peaks(parts: Sequence[Peaks]) -> Peaks:
    """Peaks of several batches, as of one."""
    return Peaks(
        [times for part in parts for times in part.heard],
        [times for part in parts for times in part.seen],
    )

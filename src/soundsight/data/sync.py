"""How late the sound of a set of clips is: motion compared with what is heard.

Where something makes a sound, something moves: the frames differ most when the sound changes. The
motion of every block of the picture is therefore correlated with three traces of the sound
(loudness, rise and change of its spectrum) at lags of up to half a second. Chance is taken off by
the same correlations between pictures and the sounds of other recordings, which removes whatever
all recordings have in common (all begin silent, every twelfth frame is a key frame). Which blocks
count (on a talking face, those around the mouth) is learned from the other recordings, never from
the one they are used on, whatever lag they speak for: choosing them makes no peak.

Sign, everywhere: **positive = the sound is late**, negative = the sound is early; seconds.

The curves of all recordings are averaged; the lag is where the average is highest, with a bootstrap
interval over the recordings. Recordings that have nothing to tell (music over a film, a still
picture) give a flat curve, and the verdict is "cannot tell".

Source: cross-correlation of lip motion with sound for finding such a lag is classic; J. Hershey and
J. Movellan, "Audio vision: using audio-visual synchrony to locate sounds", NIPS 1999. The blocks,
the subtraction of mismatched pairs and the learned weights are ours. Tolerances: ITU-R BT.1359-1
(1998), figure 2: people detect sound that is 45 ms early or 125 ms late, and accept 90 ms early or
185 ms late.

Measured: 300 sentences of one speaker of GRID (3 s each, 25 Hz) have a lag of -15 ms (-18 to -11);
any 30 of them -7 to -32 ms, and 20 ms is also how well planted lags of up to 300 ms are told. What
moves before it sounds (a ball before its bounce) or is far away has a lag of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8

from soundsight.data.fingerprint import thumbnails
from soundsight.media.clip import ClipSpec

MAX_LAG_S = 0.5
"""Lags from minus to plus this are tried, seconds."""
STEP_S = 0.02
"""About the distance of two lags that are tried, seconds; between them the peak is interpolated."""
TOLERANCE_S = (-0.1, 0.125)
"""Lags within this are in step: sound may be 100 ms early or 125 ms late, seconds. What people
accept (90 ms early) and detect (125 ms late), BT.1359-1; at least a frame and a half is allowed."""
STRENGTH = 5.0
"""Least height of the peak, in standard errors, for a verdict. Talking faces with the sounds of
other recordings reached 4.7 in 240 trials with 30 to 300 recordings and 4.9 in 320 with 8 or 12;
none of them got a verdict."""
WIDEST_S = 0.15
"""Widest interval for a verdict, seconds."""
FEWEST = 8
"""Fewest recordings (or pieces, if there are fewer recordings) for a verdict."""
PIECE_S = 3.0
"""Longer clips are cut into pieces of about this, seconds."""
SHORTEST_S = 0.7
"""Shorter clips are not used: too little of them is left at the largest lags, seconds."""
MOST_PIECES = 1000
"""If there are more, this many are drawn."""
BLOCKS = 8
"""The picture is divided into this many blocks across and down."""
TREND_S = 1.0
"""Slower changes than over about this long are taken out of all traces, seconds."""
WINDOW_S = 0.025
"""Of the sound's spectrum, seconds."""
BANDS = 16
"""Bands of the sound's spectrum, 100 Hz to half the sample rate."""
QUIET = 1e-4
"""Power at which a band's level is floored, relative to the mean over the clip: -40 dB."""
LEAST_CHANGE = 0.25
"""Standard deviation of a block's motion, in levels of 0 ... 255, below which it is not raised
to 1; likewise half a decibel for the sound."""
MISMATCHES = 5
"""Sounds of other recordings with which each picture is compared to take off chance."""
FOLDS = 10
"""Blocks are weighed by the recordings of the other folds."""
WEIGHT_FROM = 2.5
"""A block counts for as much as its own peak is higher than this, in standard errors."""
RESAMPLES = 1000
"""Of the bootstrap."""

Verdict = Literal["in step", "sound late", "sound early", "cannot tell"]


class Traces(NamedTuple):
    """What moves and what is heard in one clip, on one clock."""

    motion: Float32[np.ndarray, "i p"]
    """Mean change of each block's pixels from frame k to k + 1, less the median block's, in levels
    of 0 ... 255: i = frames - 1. Row k stands at (k + 1)/fps."""
    sound: Float32[np.ndarray, "k 3"]
    """Loudness, rise and change of the spectrum, dB, `steps` per frame. Row j stands at
    j/(steps * fps)."""


@dataclass(frozen=True)
class LagReport:
    """How late the sound is over some recordings, or in one; positive = the sound is late."""

    lag_s: float | None
    """Where the mean curve is highest, seconds; None if there was nothing to compare."""
    low: float | None
    """Lower end of the 95 % bootstrap interval, seconds; None with fewer than `FEWEST`."""
    high: float | None
    """Upper end, seconds."""
    strength: float
    """Height of the peak, in standard errors; chance rarely reaches `STRENGTH`."""
    n: int
    """Recordings that were used; pieces of about 3 s if there are fewer than `FEWEST` of them."""
    verdict: Verdict
    """"sound late" or "sound early" only if the whole interval lies outside of the tolerance."""
    sources: dict[str, "LagReport"] = field(default_factory=dict)
    """Each recording alone, by name; a verdict needs `FEWEST` pieces of it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values; `quartiles_s` are those of the recordings' own lags."""
        lags = [own.lag_s for own in self.sources.values() if own.lag_s is not None]
        quartiles = [float(q) for q in np.quantile(lags, (0.25, 0.5, 0.75))] if lags else None
        return asdict(self) | {"quartiles_s": quartiles}

    def __str__(self) -> str:
        """One line for people."""
        if self.lag_s is None or self.low is None or self.high is None:
            return f"sound and picture: {self.verdict} (too little to compare: n = {self.n})"
        late = f"{abs(1000 * self.lag_s):.0f} ms {'late' if self.lag_s >= 0 else 'early'}"
        return (
            f"sound and picture: {self.verdict}; best match with the sound {late} (lag "
            f"{1000 * self.low:+.0f} to {1000 * self.high:+.0f} ms with 95 % confidence, strength "
            f"{self.strength:.1f}, n = {self.n})"
        )


def traces(
    frames: UInt8[np.ndarray, "t h w c"], sound: Float32[np.ndarray, " n"], spec: ClipSpec
) -> Traces:
    """What moves and what is heard in a clip.

    Args:
        frames: 0 ... 255, at least 2 of them.
        sound: in [-1, 1], of the same duration: n = t * spec.samples_per_frame.
        spec: of the rates; its `frames` is not used.

    Returns:
        Traces of the motion of 8 x 8 blocks and of the sound.

    Raises:
        ValueError: if there are fewer than 2 frames, or picture and sound differ in duration.
    """
    if len(frames) < 2:
        raise ValueError(f"{len(frames)} frames: motion needs at least 2")
    if len(sound) != len(frames) * spec.samples_per_frame:
        raise ValueError(
            f"{len(sound)} samples of sound for {len(frames)} frames: "
            f"{spec.samples_per_frame} per frame are needed"
        )
    return Traces(_motion(frames), _heard(sound, spec))


def _motion(frames: UInt8[np.ndarray, "t h w c"]) -> Float32[np.ndarray, "k p"]:
    """Change of each block; the median block's, a key frame's or the light's, is taken off."""
    change = np.maximum(frames[1:], frames[:-1]) - np.minimum(frames[1:], frames[:-1])
    blocks = thumbnails(change, BLOCKS).mean(axis=3).reshape(len(change), -1)
    return blocks - np.median(blocks, axis=1, keepdims=True)


def steps_per_frame(fps: float | int) -> int:
    """Rows of the sound's traces per frame: about one per `STEP_S`."""
    return max(1, round(1 / (fps * STEP_S)))


def _heard(sound: Float32[np.ndarray, " n"], spec: ClipSpec) -> Float32[np.ndarray, "k 3"]:
    """Loudness, rise and change of the spectrum in bands."""
    steps = steps_per_frame(spec.fps)
    size = max(16, round(WINDOW_S * spec.sample_rate))
    count = len(sound) // spec.samples_per_frame * steps + 1
    centres = np.round(np.arange(count) * spec.samples_per_frame / steps).astype(np.int64)
    padded = np.pad(sound, (size // 2, size))
    windows = np.lib.stride_tricks.sliding_window_view(padded, size)[centres]
    power = np.abs(np.fft.rfft(windows * np.hanning(size).astype(np.float32))) ** 2 / size**2
    banded = power.astype(np.float32) @ _bands(size, spec.sample_rate)
    floor = max(QUIET * float(banded.mean()), 1e-10)
    level = 10 * np.log10(banded + floor)
    # Over about a frame, as the picture's change is, and smooth, so that a lag has one best value.
    half, last = max(1, steps // 2), count - 1
    at = np.arange(count)
    change = level[np.minimum(at + half, last)] - level[np.maximum(at - half, 0)]
    parts = (level.mean(1), np.maximum(change, 0).mean(1), np.abs(change).mean(1))
    kernel = np.hanning((steps | 1) + 2)[1:-1]
    padded_parts = [np.pad(part, steps // 2, mode="edge") for part in parts]
    smooth = [np.convolve(part, kernel / kernel.sum(), mode="valid") for part in padded_parts]
    return np.stack(smooth, axis=1).astype(np.float32)


@lru_cache(maxsize=16)
def _bands(size: int, sample_rate: int) -> Float32[np.ndarray, "f m"]:
    """Which bins of a spectrum belong to which band; bands without a bin are left out."""
    hz = np.fft.rfftfreq(size, 1 / sample_rate)
    edges = np.geomspace(min(100.0, sample_rate / 8), sample_rate / 2, BANDS + 1)
    within = (hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])
    return within[:, within.any(axis=0)].astype(np.float32)


def lag(
    clips: Sequence[Traces], sources: Sequence[str], fps: float | int, *, seed: int = 0
) -> LagReport:
    """How late the sound of a set of clips is; positive = the sound is late.

    Args:
        clips: traces of the clips; those shorter than `SHORTEST_S` are not used.
        sources: the recording that each clip is from, as many.
        fps: frames per second of the clips.
        seed: of the pieces drawn, folds, mismatched pairs and bootstrap.

    Returns:
        The lag over all recordings and of each alone, with verdicts.

    Raises:
        ValueError: if there are not as many sources as clips.
    """
    if len(clips) != len(sources):
        raise ValueError(f"{len(clips)} clips, {len(sources)} sources: as many are needed")
    generator = np.random.default_rng(seed)
    pieces, owners = _cut(clips, sources, fps)
    if len(pieces) > MOST_PIECES:
        drawn = np.sort(generator.choice(len(pieces), MOST_PIECES, replace=False))
        pieces, owners = [pieces[i] for i in drawn], [owners[i] for i in drawn]
    if len(pieces) < 2:
        return LagReport(None, None, None, 0.0, len(pieces), "cannot tell")
    names = sorted(set(owners))
    owner = np.searchsorted(names, owners)
    unit = owner if len(names) >= FEWEST else np.arange(len(pieces))
    curves = _curves(pieces, owner, fps, generator)
    fold = (generator.permutation(int(unit.max()) + 1) % FOLDS)[unit]
    weights = np.stack(
        [_weights(_sums(curves, unit), np.unique(unit[fold != i])) for i in range(FOLDS)]
    )
    heard = np.einsum("ilp,ip->il", curves, weights[fold])
    own = {name: _judge(heard[owner == i], fps, generator) for i, name in enumerate(names)}
    return replace(_judge(_sums(heard, unit), fps, generator), sources=own)


def _cut(
    clips: Sequence[Traces], sources: Sequence[str], fps: float | int
) -> tuple[list[Traces], list[str]]:
    """Pieces of about `PIECE_S` with their recordings; what is too short is left out."""
    steps = steps_per_frame(fps)
    pieces, owners = [], []
    for clip, source in zip(clips, sources, strict=True):
        frames = len(clip.motion) + 1
        count = max(1, round(frames / fps / PIECE_S))
        edges = np.linspace(0, frames, count + 1).round().astype(int)
        for start, end in pairwise(edges):
            if end - start < max(3, SHORTEST_S * fps):
                continue
            motion = clip.motion[start : end - 1]
            pieces.append(Traces(motion, clip.sound[start * steps : end * steps + 1]))
            owners.append(source)
    return pieces, owners


def _flatten(x: Float32[np.ndarray, "t p"], width: int, least: float) -> Float32[np.ndarray, "t p"]:
    """Without trend, of unit standard deviation (of less, if it hardly changes)."""
    half = max(1, width // 2)
    sums = np.cumsum(np.pad(x, ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    here = np.arange(len(x))
    low, high = np.maximum(here - half, 0), np.minimum(here + half + 1, len(x))
    x = x - ((sums[high] - sums[low]) / (high - low)[:, None])
    x = x - x.mean(axis=0)
    return (x / np.maximum(x.std(axis=0), least)).astype(np.float32)


def _curves(
    pieces: list[Traces],
    owner: Int64[np.ndarray, " i"],
    fps: float | int,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "i l p"]:
    """Correlation of every block with every trace of the sound by lag, less that of chance."""
    steps = steps_per_frame(fps)
    motions = [_flatten(p.motion, round(TREND_S * fps), LEAST_CHANGE) for p in pieces]
    sounds = [_flatten(p.sound, round(TREND_S * fps * steps), 0.5) for p in pieces]
    curves = []
    for i, motion in enumerate(motions):
        strange = np.flatnonzero(owner != owner[i])
        if not len(strange):  # One recording: its other pieces.
            strange = np.delete(np.arange(len(pieces)), i)
        strange = generator.choice(strange, min(MISMATCHES, len(strange)), replace=False)
        matched = _correlate(motion, sounds[i], steps, fps)
        chance = [_correlate(motion, sounds[j], steps, fps) for j in strange]
        curves.append(matched - np.mean(chance, axis=0))
    return np.stack(curves)


def _lags(fps: float | int) -> Int64[np.ndarray, " l"]:
    """The lags that are tried, in steps of the sound's traces."""
    most = int(MAX_LAG_S * fps * steps_per_frame(fps))
    return np.arange(-most, most + 1)


def _correlate(
    motion: Float32[np.ndarray, "t p"],
    sound: Float32[np.ndarray, "k q"],
    steps: int,
    fps: float | int,
) -> Float32[np.ndarray, "l m"]:
    """Sum of products at each lag over the square root of their number, shape (l, p * q)."""
    lags = _lags(fps)
    at = (np.arange(len(motion)) + 1) * steps + lags[:, None]
    inside = (at >= 0) & (at < len(sound))
    moved = np.where(inside[..., None], sound[np.clip(at, 0, len(sound) - 1)], np.float32(0))
    products = np.einsum("ltq,tp->lpq", moved, motion, optimize=True)
    number = np.sqrt(np.maximum(inside.sum(axis=1), 1))[:, None, None]
    return (products / number).reshape(len(lags), -1).astype(np.float32)


def _sums(
    curves: Float32[np.ndarray, "i ..."], unit: Int64[np.ndarray, " i"]
) -> Float32[np.ndarray, "u ..."]:
    """Sums of the curves of each unit, 0 ... u - 1."""
    sums = np.zeros((int(unit.max()) + 1, *curves.shape[1:]), dtype=np.float32)
    np.add.at(sums, unit, curves)
    return sums


def _weights(
    curves: Float32[np.ndarray, "u l p"], chosen: Int64[np.ndarray, " v"]
) -> Float32[np.ndarray, " p"]:
    """How much each pair of a block and a trace of the sound counts, of norm 1."""
    some = curves[chosen] if len(chosen) > 1 else curves
    error = some.std(axis=0) / math.sqrt(len(some))
    height = (some.mean(axis=0) / np.maximum(error, 1e-6)).max(axis=0)
    weights = np.maximum(height - WEIGHT_FROM, 0)
    if not weights.any():
        weights = np.ones_like(weights)
    return (weights / np.linalg.norm(weights)).astype(np.float32)


def _judge(
    curves: Float32[np.ndarray, "u l"], fps: float | int, generator: np.random.Generator
) -> LagReport:
    """Where the mean curve is highest, how surely, and what follows."""
    count, scale = len(curves), 1 / (fps * steps_per_frame(fps))
    mean = curves.mean(axis=0, dtype=np.float64)
    lag_s = float(_peaks(mean[None])[0]) * scale
    if count < 2:
        return LagReport(lag_s, None, None, 0.0, count, "cannot tell")
    error = float(np.median(curves.std(axis=0))) / math.sqrt(count)
    strength = float(mean.max() - np.median(mean)) / max(error, 1e-6)
    if count < FEWEST:
        return LagReport(lag_s, None, None, strength, count, "cannot tell")
    shares = generator.multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    low, high = (float(q) for q in np.quantile(_peaks(shares @ curves) * scale, (0.025, 0.975)))
    most, frame = float(_lags(fps)[-1]) * scale, 1.5 / fps
    early, late = min(TOLERANCE_S[0], -frame), max(TOLERANCE_S[1], frame)
    verdict: Verdict = "in step"
    if strength < STRENGTH or high - low > WIDEST_S or max(-low, high) > most - scale:
        verdict = "cannot tell"  # At the last lag the peak may well be beyond it.
    elif low > late:
        verdict = "sound late"
    elif high < early:
        verdict = "sound early"
    elif not early <= lag_s <= late:
        verdict = "cannot tell"  # Out of step, but not surely so.
    return LagReport(lag_s, low, high, strength, count, verdict)


def _peaks(curves: Float[np.ndarray, "u l"]) -> Float[np.ndarray, " u"]:
    """Lag of the highest point of each curve, in steps, by the parabola through its neighbours."""
    last = curves.shape[1] - 1
    best = curves.argmax(axis=1)
    middle = np.clip(best, 1, last - 1)[:, None]
    left, top, right = np.take_along_axis(curves, middle + np.arange(-1, 2), axis=1).T
    bend = left - 2 * top + right
    shift = np.where(bend < 0, (left - right) / (2 * np.minimum(bend, -1e-12)), 0)
    # A highest point at either end has no neighbour beyond it and stays where it is.
    return np.where(best == middle[:, 0], best + np.clip(shift, -0.5, 0.5), best) - last / 2

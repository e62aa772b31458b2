"""The judge of `BounceTone`: reads place, colour and contacts from pictures, tones from sound.

`watch` looks at pictures alone and `listen` hears sound alone, so that what a model generates can
be compared with what it was given, or its picture with its sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from soundsight.data.bounce_tone import COLOURS, GROUND, PARTIALS, RADIUS, TIMBRES
from soundsight.data.perceived import UNKNOWN, Perceived, perceive_by
from soundsight.media.clip import Clip, ClipSpec

HOP_S, APART_S, JUMP_SHARE = 0.01, 0.08, 0.3
"""Onsets: step of the level and least distance, s; least rise as a share of the largest."""
LOWEST_HZ, HIGHEST_HZ = 180.0, 1000.0
"""Pitches searched."""


@dataclass(frozen=True)
class Watched:
    """What is seen in b clips."""

    u: Float64[np.ndarray, " b"]
    """Place from left (0) to right (1); NaN where nothing is brighter than the ground."""
    classes: Int64[np.ndarray, " b"]
    """Nearest colour, 0 to 3; chance for grey pictures."""
    contacts: list[np.ndarray]
    """Of each clip, the contacts with the floor, s: middles of the frames in which the ball is
    lower than in the frames around it."""


@dataclass(frozen=True)
class Listened:
    """What is heard in b clips."""

    pitch_hz: Float64[np.ndarray, " b"]
    """NaN for silence."""
    classes: Int64[np.ndarray, " b"]
    """Nearest timbre, 0 to 3."""
    onsets: list[np.ndarray]
    """Of each clip, when the level jumps, s."""


def watch(video: Float32[Tensor, "b t c h w"], spec: ClipSpec) -> Watched:
    """Read place, colour and contacts from pictures alone.

    Args:
        video: frames in [0, 1], RGB for the colour.
        spec: only its frame rate counts.

    Returns:
        See `Watched`.
    """
    frames = video.detach().cpu().double()
    h, w = frames.shape[-2:]
    excess = (frames.mean(2) - GROUND - 0.03).clamp(min=0)
    mass = excess.sum((-2, -1))
    x = _median((excess.sum(-2) * torch.arange(w)).sum(-1) / mass)
    y = ((excess.sum(-1) * torch.arange(h)).sum(-1) / mass).numpy()
    radius = RADIUS * w
    colour = (frames * excess[:, :, None]).sum((1, 3, 4)) / mass.sum(1)[:, None]
    distance = np.square(np.nan_to_num(colour.numpy())[:, None] - COLOURS).sum(-1)
    return Watched(
        u=(x - radius) / (w - 1 - 2 * radius),
        classes=distance.argmin(1),
        contacts=[_lowest(row, float(spec.fps)) for row in y],
    )


def _median(x: Float64[Tensor, "b t"]) -> Float64[np.ndarray, " b"]:
    """Over the frames that show something."""
    return torch.nanquantile(x, 0.5, dim=1).numpy()


def _lowest(y: Float64[np.ndarray, " t"], fps: float) -> Float64[np.ndarray, " i"]:
    """Middles of the frames whose centroid is lower than those around it, s."""
    low = np.concatenate([[-np.inf], np.nan_to_num(y, nan=-np.inf), [-np.inf]])
    peak = (low[1:-1] > low[:-2]) & (low[1:-1] >= low[2:])
    if len(y) > 1:  # The first and last frames have one neighbour: too little to tell.
        peak[[0, -1]] = False
    return (np.nonzero(peak)[0] + 0.5) / fps


def listen(audio: Float32[Tensor, "b n"], spec: ClipSpec) -> Listened:
    """Read pitch, timbre and onsets from sound alone.

    Args:
        audio: waveforms in [-1, 1].
        spec: only its sample rate counts.

    Returns:
        See `Listened`.
    """
    waves = audio.detach().cpu().double().numpy()
    rate = spec.sample_rate
    heard = [_tone(wave, rate) for wave in waves]
    return Listened(
        np.array([hertz for hertz, _ in heard], dtype=np.float64),
        np.array([timbre for _, timbre in heard], dtype=np.int64),
        [_jumps(wave, rate) for wave in waves],
    )


def _tone(wave: Float64[np.ndarray, " n"], rate: int) -> tuple[float, int]:
    """Pitch, Hz, by the first peak of the autocorrelation at least 0.85 of its highest; timbre."""
    length = 1 << (2 * len(wave) - 1).bit_length()
    power = np.abs(np.fft.rfft(wave, length)) ** 2
    match = np.fft.irfft(power)
    first = int(rate / HIGHEST_HZ)
    part = match[first : int(rate / LOWEST_HZ) + 2]
    peaks = np.nonzero((part[1:-1] > part[:-2]) & (part[1:-1] >= part[2:]))[0] + 1
    if match[0] < 1e-9 or not len(peaks):
        return float("nan"), 0
    peak = peaks[part[peaks] >= 0.85 * part[peaks].max()][0]
    a, b, c = part[peak - 1 : peak + 2]
    hertz = rate / (first + peak + 0.5 * (a - c) / min(a - 2 * b + c, -1e-12))

    edges = (np.arange(8) + 0.5) * hertz * length / rate
    sums = np.concatenate([[0.0], np.cumsum(power)])[
        np.clip(np.round(edges), 0, len(power)).astype(np.int64)
    ]
    there = 2 * hertz * np.arange(1, 8) < 0.9 * rate
    levels = np.diff(sums)[there]
    table = np.array([(*PARTIALS[name], *(0.0,) * 7)[:7] for name in TIMBRES])[:, there] ** 2
    distance = np.square(_decibel(levels) - _decibel(table)).sum(1)
    return float(hertz), int(distance.argmin())


def _decibel(power: Float64[np.ndarray, "*i k"]) -> Float64[np.ndarray, "*i k"]:
    """Levels relative to the sum, dB, with a floor at -30."""
    return 10 * np.log10(power / np.maximum(power.sum(-1, keepdims=True), 1e-30) + 1e-3)


def _jumps(wave: Float64[np.ndarray, " n"], rate: int) -> Float64[np.ndarray, " i"]:
    """Steps at which the level rises most, s: starts of the louder of the two windows."""
    hop = max(1, round(HOP_S * rate))
    count = len(wave) // hop
    power = np.square(wave[: count * hop]).reshape(count, hop).mean(1)
    level = 0.5 * np.log(power + 1e-8)
    rise = np.diff(level, prepend=level[:1])
    if not len(rise) or rise.max() < 0.1:
        return np.zeros(0)
    found: list[int] = []
    for k in np.argsort(-rise, kind="stable"):
        if rise[k] < JUMP_SHARE * rise.max():
            break
        if all(abs(k - other) * hop >= APART_S * rate for other in found):
            found.append(int(k))
    return np.sort(np.array(found, dtype=np.float64)) * hop / rate


def perceive(clip: Clip) -> Perceived:
    """What is seen and what is heard in clips, to be compared.

    A clip without a ball has the place NaN, one without a tone the pitch NaN, and the class of
    either is `UNKNOWN`. Grey pictures show no class, and a single frame no times.

    Raises:
        ValueError: if the clips lack video or sound.
    """
    return perceive_by(_perceive, clip)


def _perceive(clip: Clip) -> Perceived:
    assert clip.video is not None
    assert clip.audio is not None
    seen, heard = watch(clip.video, clip.spec), listen(clip.audio, clip.spec)
    colour, time = clip.spec.channels == 3, clip.video.shape[1] > 1
    return Perceived(
        place=seen.u,
        pitch=np.log2(heard.pitch_hz),
        seen_class=np.where(np.isfinite(seen.u), seen.classes, UNKNOWN) if colour else None,
        heard_class=np.where(np.isfinite(heard.pitch_hz), heard.classes, UNKNOWN),
        seen_times_s=seen.contacts if time else None,
        heard_times_s=heard.onsets if time else None,
    )


def onset_iou(
    onsets: Sequence[np.ndarray], contacts: Sequence[np.ndarray], spec: ClipSpec
) -> float:
    """Share of onsets and contacts that are the same event: matches over all of both.

    **Range/direction**: 0 to 1, higher is better. **Reference values**: 1 for identical events; on
    clean clips and on shuffled pairs see docs/data/bounce_tone.md. Chance is far from 0.

    Args:
        onsets: of each clip, s, ascending.
        contacts: of each clip, s, ascending.
        spec: its frame rate sets the tolerance, 1 / fps.

    Returns:
        Mean over the clips that have any event, of matches / (onsets + contacts - matches), where
        events are matched one to one, in order.

    Example:
        >>> onset_iou([np.array([0.1, 0.5])], [np.array([0.15])], ClipSpec(10, fps=10))
        0.5
    """
    shares = []
    for heard, seen in zip(onsets, contacts, strict=True):
        matches, j = 0, 0
        for time in heard:
            while j < len(seen) and seen[j] < time - 1 / spec.fps - 1e-9:
                j += 1
            if j < len(seen) and seen[j] <= time + 1 / spec.fps + 1e-9:
                matches, j = matches + 1, j + 1
        union = len(heard) + len(seen) - matches
        if union:
            shares.append(matches / union)
    return float(np.mean(shares)) if shares else float("nan")


def rank_correlation(a: Float64[np.ndarray, " b"], b: Float64[np.ndarray, " b"]) -> float:
    """Spearman's ρ of two lists of numbers without ties; pairs with a NaN are left out.

    **Range/direction**: -1 to 1; 0 for independent lists, within about 2 / sqrt(b). NaN for fewer
    than two pairs.

    Example:
        >>> rank_correlation(np.array([0.1, 0.2, 0.9]), np.array([5.0, 6.0, 7.0]))
        1.0
    """
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 2:
        return float("nan")
    ranks = [np.argsort(np.argsort(x[both])).astype(np.float64) for x in (a, b)]
    x, y = (rank - rank.mean() for rank in ranks)
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))

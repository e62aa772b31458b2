"""What an exact listener makes of a sound of `Orchestra`: class, pitch and onsets, by analysis.

Nothing is trained. Onsets are where the level jumps; each note's pitch is its autocorrelation's
first high peak; its class is the one whose harmonics, as synthesized, are nearest.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from soundsight.data.orchestra_notes import CLASSES, INSTRUMENTS, LOWS, SPANS
from soundsight.media.clip import ClipSpec

WINDOW_S, HOP_S = 0.02, 0.0025
"""The level after a moment is compared with that before it over this time, at these steps, s."""
JUMP_DB = 6.0
"""Least rise of the level at an onset."""
FLOOR_DB = -40.0
"""Levels below this, relative to the clip's loudest, count as silence."""
NOISE_DB = -15.0
"""Most by which noise raises that floor, relative to the clip's loudest."""
APART_S = 0.1
"""Least time between two onsets, s."""
LOWEST_HZ, HIGHEST_HZ = 45.0, 1700.0
"""Pitches searched."""
SPREAD_DB = 2.5
"""Standard deviation of a harmonic's level about the class's."""
_PARTIALS = 12
_RANGE_DB = 35.0  # Harmonics weaker than this below the sum count as missing.


@dataclass(frozen=True)
class Heard:
    """What is heard in b clips."""

    class_probabilities: Float64[np.ndarray, "b 13"]
    """Rows sum to 1; all equal where no note is heard."""
    pitch_hz: Float64[np.ndarray, " b"]
    """Pitch of the longest note; NaN where no note is heard."""
    onsets: list[np.ndarray]
    """Of each clip, the notes' onsets, s, ascending."""
    pitches_hz: list[np.ndarray]
    """Of each clip, the pitch of each of these notes; NaN for one too short to tell."""
    confidence: Float64[np.ndarray, " b"]
    """How periodic the notes are, 0 (noise, silence) to 1; above 0.9 for clean sound."""

    @property
    def classes(self) -> np.ndarray:
        """The most probable class of each clip."""
        return self.class_probabilities.argmax(1)


def hear(audio: Float32[Tensor, "b n"], spec: ClipSpec) -> Heard:
    """Read class, pitch and onsets from sound alone.

    Args:
        audio: waveforms in [-1, 1], shape (b, n); n need not be the spec's.
        spec: only its sample rate counts.

    Returns:
        See `Heard`. Reference values on clean sound are in docs/data/orchestra.md.

    Raises:
        ValueError: if a sample is not finite.
    """
    if not torch.isfinite(audio).all():
        raise ValueError("audio holds values that are not finite; every sample must be a number")
    rate = spec.sample_rate
    b = len(audio)
    scores = np.zeros((b, len(CLASSES)))
    pitch, confidence = np.full(b, np.nan), np.zeros(b)
    all_onsets, all_pitches = [], []
    for row, wave in enumerate(audio.detach().cpu().double().numpy()):
        onsets = _onsets(wave, rate)
        ends = np.append(onsets, len(wave) / rate)[1:]
        notes = [_note(wave, rate, *span) for span in zip(onsets, ends, strict=True)]
        hertz = np.array([note[0] for note in notes])
        told = np.isfinite(hertz)
        if told.any():
            lengths = np.where(told, ends - onsets, -1)
            pitch[row] = hertz[lengths.argmax()]
            scores[row] = sum(note[2] for note in notes)
            weights = lengths[told]
            clear = np.array([note[1] for note in notes])[told]
            confidence[row] = float((weights * clear).sum() / weights.sum())
        all_onsets.append(onsets)
        all_pitches.append(hertz)
    return Heard(_softmax(scores), pitch, all_onsets, all_pitches, confidence)


def _softmax(scores: Float64[np.ndarray, "b i"]) -> Float64[np.ndarray, "b i"]:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _onsets(wave: Float64[np.ndarray, " n"], rate: int) -> Float64[np.ndarray, " i"]:
    """Where the level jumps: peaks of the level after a moment over that before it, s."""
    window = max(1, round(WINDOW_S * rate))
    padded = np.concatenate([np.zeros(window), wave, np.zeros(window)])
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    at = np.round(np.arange(0, len(wave) / rate, HOP_S) * rate).astype(np.int64)
    before = (energy[at + window] - energy[at]) / window
    after = (energy[at + 2 * window] - energy[at + window]) / window
    loudest = after.max(initial=0.0)
    if loudest <= 1e-10:
        return np.zeros(0)
    # Noise raises the floor; it may be mistaken for the sound of a note that fills the clip.
    noise = min(4 * float(after.min()), loudest * 10 ** (NOISE_DB / 10))
    floor = max(loudest * 10 ** (FLOOR_DB / 10), noise)
    jump = 10 * np.log10((after + floor) / (before + floor))
    found: list[int] = []
    for k in np.argsort(-jump, kind="stable"):
        if jump[k] < JUMP_DB:
            break
        if all(abs(at[k] - at[other]) >= APART_S * rate for other in found):
            found.append(int(k))
    return np.sort(at[found] / rate)


def _note(
    wave: Float64[np.ndarray, " n"], rate: int, start: float, end: float
) -> tuple[float, float, Float64[np.ndarray, "13"]]:
    """Pitch (Hz, or NaN), periodicity and log-likelihoods of the classes of one note."""
    none = (float("nan"), 0.0, np.zeros(len(CLASSES)))
    last = min(int((end - 0.06) * rate), int((start + 0.6) * rate))
    if len(wave) - last < 0.07 * rate:  # The clip's last note has no release.
        last = len(wave)
    sound = wave[int((start + 0.03) * rate) : last]
    if len(sound) < 2.5 * rate / LOWEST_HZ:
        return none
    length = 1 << (2 * len(sound) - 1).bit_length()
    tapered = (sound - sound.mean()) * np.hanning(len(sound))
    power = np.abs(np.fft.rfft(tapered, length)) ** 2
    hertz, periodic = _pitch(power, np.hanning(len(sound)), rate)
    if not np.isfinite(hertz):
        return none
    levels = _levels(power, hertz, rate / length)
    return hertz, periodic, periodic**2 * _likelihoods(levels, hertz, rate)


def _pitch(
    power: Float64[np.ndarray, " f"], taper: Float64[np.ndarray, " n"], rate: int
) -> tuple[float, float]:
    """First peak of the autocorrelation at least 0.85 of its highest, Hz, and its height.

    The autocorrelation is divided by that of the taper, so that a periodic sound reaches 1.
    """
    length = 2 * (len(power) - 1)
    sound = np.fft.irfft(power)
    own = np.fft.irfft(np.abs(np.fft.rfft(taper, length)) ** 2)
    lags = slice(int(rate / HIGHEST_HZ), min(int(rate / LOWEST_HZ) + 2, len(taper) // 2))
    if sound[0] <= 0:
        return float("nan"), 0.0
    match = (sound / sound[0])[lags] / (own / own[0])[lags]
    inner = match[1:-1]
    peaks = np.nonzero((inner >= match[:-2]) & (inner >= match[2:]))[0] + 1
    if not len(peaks):
        return float("nan"), 0.0
    # A parabola through each peak and its neighbours: at 1 kHz a period is but a few samples.
    a, b, c = match[peaks - 1], match[peaks], match[peaks + 1]
    offset = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-12)
    height = b - 0.25 * (a - c) * offset
    first = int(np.argmax(height >= 0.85 * height.max()))
    period = lags.start + peaks[first] + offset[first]
    return float(rate / period), float(np.clip(height[first], 0, 1))


def _levels(
    power: Float64[np.ndarray, " f"], hertz: float, step: float
) -> Float64[np.ndarray, "12"]:
    """Power near each harmonic."""
    total = np.concatenate([[0.0], np.cumsum(power)])
    k = np.arange(1, _PARTIALS + 1)
    half = hertz * np.minimum(0.45, 0.2 + 0.02 * k)  # Vibrato and short notes smear high ones.
    edges = np.clip(np.round(np.stack([k * hertz - half, k * hertz + half]) / step), 0, len(power))
    low, high = total[edges.astype(np.int64)]
    return high - low


def _likelihoods(
    levels: Float64[np.ndarray, "12"], hertz: float, rate: int
) -> Float64[np.ndarray, "13"]:
    """Log-likelihood of each class, given the power of the harmonics and the pitch."""
    k = np.arange(1, _PARTIALS + 1)
    there = 2 * hertz * k < 0.9 * rate
    table = np.array(
        [(*i.partials, *(0.0,) * _PARTIALS)[:_PARTIALS] for i in INSTRUMENTS], dtype=np.float64
    )
    heard, known = _decibel(levels[there]), _decibel(table[:, there] ** 2)
    score = -0.5 * (((heard - known) / SPREAD_DB) ** 2).sum(1)
    midi = 69 + 12 * np.log2(hertz / 440)
    outside = np.maximum(np.maximum(LOWS - midi, midi - LOWS - SPANS) - 0.6, 0)
    return score - 3 * outside


def _decibel(power: Float64[np.ndarray, "*i k"]) -> Float64[np.ndarray, "*i k"]:
    """Levels relative to the sum, dB, with a floor."""
    share = power / np.maximum(power.sum(-1, keepdims=True), 1e-30)
    return 10 * np.log10(share + 10 ** (-_RANGE_DB / 10))

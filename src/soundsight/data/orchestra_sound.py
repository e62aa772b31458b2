"""How the instruments of `Orchestra` sound: one cycle of a wave, read at the speed of the pitch.

All sums are of float64 numbers in a fixed order and all sines come from a rounded table, so a
sound is the same on any machine.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from soundsight.data.m3so_motion import uniforms
from soundsight.data.orchestra_notes import INSTRUMENTS, Score, frequency

PEAK = 0.8
"""Largest sample of a note of loudness 1 without its breath."""
RELEASE_S, REST_S = 0.04, 0.02
"""A note fades over this time and is silent for that time before the next one's onset, s."""
VIBRATO_HZ = 5.5
"""How often the pitch swings."""
_TABLE = 2048  # Points of a cycle.
_NOISE = 1 << 16  # Samples of noise to choose from.


def play(score: Score, samples: int, sample_rate: int) -> Float32[np.ndarray, "b n"]:
    """The sound of every clip.

    Args:
        score: what is heard (`heard_class`, `heard`) and the player's timbre.
        samples: n.
        sample_rate: Hz.

    Returns:
        Waveforms, at most `PEAK` plus the breath, shape (b, n).
    """
    wave = np.zeros((len(score.heard_class), samples))
    pitch = frequency(score.heard.midi)
    for row, out in enumerate(wave):
        instrument = INSTRUMENTS[score.heard_class[row]]
        starts = [float(onset) for onset in score.heard.onset[row] if onset == onset]
        ends = [*starts[1:], np.inf]
        # A player's own timbre: every partial is off by up to a tenth.
        own = zip(instrument.partials, score.timbre[row].tolist(), strict=False)
        partials = [amplitude * (0.9 + 0.2 * uniform) for amplitude, uniform in own]
        first = int(score.timbre[row, -1] * (_NOISE - samples % _NOISE))
        for k, (onset, end) in enumerate(zip(starts, ends, strict=True)):
            from_, to = (_sample(time, sample_rate, samples) for time in (onset, end))
            seconds = np.arange(from_, to) / sample_rate - onset
            hertz = float(pitch[row, k])
            cycle = wave_cycle(partials, hertz, sample_rate)
            sound = read_cycle(cycle, hertz, seconds, vibrato=instrument.vibrato)
            if instrument.breath:
                noise = _noise()[(first + np.arange(from_, to)) % _NOISE]
                sound += instrument.breath * noise
            sound *= float(score.heard.loudness[row, k])
            _shape(sound, seconds, end - onset, instrument.attack_s, instrument.decay_s)
            out[from_:to] = sound
    return wave.astype(np.float32)


def _sample(seconds: float, sample_rate: int, samples: int) -> int:
    """The first sample that is not before a time."""
    return samples if seconds * sample_rate >= samples else int(np.ceil(seconds * sample_rate))


@cache
def _sines() -> Float64[np.ndarray, "i j"]:
    """Harmonics 1 to 12 over one cycle and the point after, rounded."""
    angle = 2 * np.pi * np.arange(_TABLE + 1) / _TABLE
    table = np.sin(np.arange(1, 13)[:, None] * angle)
    return np.rint(table * 2**24) / 2**24


@cache
def _noise() -> Float64[np.ndarray, " i"]:
    """White noise, uniform in [-1, 1)."""
    return 2 * uniforms(0, 0, np.zeros(1, dtype=np.int64), 0, _NOISE)[0] - 1


def wave_cycle(
    partials: Sequence[float | int], hertz: float, sample_rate: int
) -> Float64[np.ndarray, " j"]:
    """One cycle of a periodic sound, and the point after, to be read by `read_cycle`.

    Partials beyond nine tenths of the Nyquist frequency are left out. Their signs alternate in
    pairs, which keeps the peak low.

    Args:
        partials: amplitudes of harmonics 1, 2, ... (12 at most), of any scale.
        hertz: the pitch at which it will be read.
        sample_rate: Hz.

    Returns:
        2049 points with a peak of `PEAK`.
    """
    cycle = np.zeros(_TABLE + 1)
    for k, amplitude in enumerate(partials):
        if 2 * hertz * (k + 1) < 0.9 * sample_rate:
            cycle += (-amplitude if k % 4 > 1 else amplitude) * _sines()[k]
    return cycle * (PEAK / np.abs(cycle).max())


def read_cycle(
    cycle: Float64[np.ndarray, " j"],
    hertz: float,
    seconds: Float64[np.ndarray, " n"],
    *,
    vibrato: float = 0.0,
) -> Float64[np.ndarray, " n"]:
    """Read a cycle `hertz` times a second, between its points by straight lines.

    Args:
        cycle: from `wave_cycle`.
        hertz: mean pitch.
        seconds: when, since the cycle's start.
        vibrato: largest deviation of the pitch, semitones.
    """
    place = hertz * seconds
    if vibrato:
        # A swing of the pitch by a sine swings the phase by its integral, 1 - cos.
        depth = hertz * (0.06 * vibrato) / (2 * np.pi * VIBRATO_HZ)
        turn = ((VIBRATO_HZ * seconds + 0.25) * _TABLE).astype(np.int64) % _TABLE
        place += depth * (1 - _sines()[0][turn])
    place -= np.floor(place)
    place *= _TABLE
    index = place.astype(np.int64)
    place -= index
    low = cycle[index]
    place *= cycle[index + 1] - low
    place += low
    return place


def _shape(
    sound: Float64[np.ndarray, " n"],
    seconds: Float64[np.ndarray, " n"],
    duration: float,
    attack_s: float | int,
    decay_s: float | int,
) -> None:
    """Attack, slow decay and release, in place."""
    sound /= 1 + seconds / decay_s
    first = int(np.searchsorted(seconds, attack_s))
    rise = seconds[:first] / attack_s
    sound[:first] *= rise * (2 - rise)
    last = int(np.searchsorted(seconds, duration - REST_S - RELEASE_S))
    fade = (duration - REST_S - seconds[last:]) / RELEASE_S
    sound[last:] *= np.maximum(fade, 0)

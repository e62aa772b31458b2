"""From decoded sound to one mono waveform on the file's clock, by its time stamps alone.

Silence fills what comes late or is missing, overlaps are cut, and only then is the rate changed, so
a sample stands where the file says that it is heard, to 1 ms. Time stamps that wander (containers
round them, recorders guess them) leave the sound in one piece: only if all those of the next
quarter second agree that it is early, or late, is it moved, by the least of what they say.

Starting at a whole second, whatever the window, makes a window bit for bit the same as that part of
the whole file (but for the ends of the resampling filter).
"""

import math
from collections import deque
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float32, Shaped

from soundsight.media.limits import Limits, MediaError

TOLERANCE_S = 0.001
"""Sound that stands wrong by more than this, lastingly, is moved, seconds."""
SETTLE_S = 0.25
"""How long time stamps have to agree that sound stands wrong, seconds."""
BATCH_S = 0.25
"""Sound is resampled in pieces of this length: it costs as much for a short one, seconds."""
JITTER_S = 0.01
"""Sound that one time stamp alone tells to be wrong by more than this is moved, seconds."""
LEAD_S = 1.0
"""Sound decoded before the window, so that decoder and resampling filter have settled, seconds."""
FULL_SCALE = {"fltp": 1.0, "flt": 1.0, "s16p": 2.0**15, "s16": 2.0**15}
"""The usual formats of decoded sound, and what stands for 1 in each."""
DOWNMIX = {"FL": 0.5**0.5, "FR": 0.5**0.5, "FC": 1.0, "LFE": 0.0}
"""Weights of channels in the mono sum, before they are scaled to sum 1; others weigh 1/2.

Source: ITU-R BS.775-3, annex 4, table 2 (1/0 format). The low-frequency effects are left out."""


class _Piece(NamedTuple):
    """Sound waiting for its place."""

    wave: Float32[np.ndarray, " n"]
    """Mono, at the source's rate."""
    shift: int | None
    """Where its time stamp puts it, less the samples that came before it; None without stamp."""


class SoundTrack:
    """Places decoded sound on the clock, mixes it to mono and resamples it."""

    def __init__(
        self, name: str, sample_rate: int, *, start_s: float, samples: int | None, limits: Limits
    ) -> None:
        """Make `samples` samples (None: all) from `start_s` on.

        Args:
            name: of the file, for errors.
            sample_rate: Hz to make.
            start_s: time of the first sample, seconds.
            samples: how many, or None for as many as there are.
            limits: bound on the time.
        """
        self.name = name
        self.sample_rate = sample_rate
        self.origin_s = max(0, math.floor(start_s - LEAD_S))
        self._skip = round((start_s - self.origin_s) * sample_rate)  # Samples before the window.
        self._wanted = samples
        self._limits = limits
        self._source_rate: int | None = None
        self._placed = 0  # Samples at the source's rate since origin_s.
        self._held: deque[_Piece] = deque()
        self._held_samples = 0
        self._released = 0  # Samples that were held and are no longer, all of them placed or cut.
        self._shift: int | None = None  # How much later than that the next piece is placed.
        self._setup: tuple[str, str, int] | None = None  # Format, layout and rate that come.
        self._to_float: av.AudioResampler | None = None
        self._weights = np.ones(1, np.float32)
        self._batch: list[Float32[np.ndarray, " n"]] = []  # Placed, not yet resampled.
        self._batched = 0
        self._to_rate: av.AudioResampler | None = None
        self._out: deque[Float32[np.ndarray, " n"]] = deque()
        self._made = 0  # Samples that came out so far, those before the window too.
        self._taken = 0

    @property
    def has_any(self) -> bool:
        """Whether any sound came."""
        return self._source_rate is not None

    @property
    def is_done(self) -> bool:
        """Whether all wanted samples are there."""
        return self._wanted is not None and self._made >= self._skip + self._wanted

    @property
    def ready(self) -> int:
        """Samples that can be taken."""
        return max(0, self._made - self._skip) - self._taken

    @property
    def end_s(self) -> float:
        """Time at which the sound so far ends, seconds."""
        return self.origin_s + self._placed / self._source_rate if self._source_rate else 0.0

    def add(self, frame: av.AudioFrame, time_s: float | None) -> None:
        """Take the next piece of sound.

        Args:
            frame: decoded sound, any format and layout.
            time_s: when it begins, seconds; None is where the one before ended.

        Raises:
            MediaError: if its time is beyond the limits.
        """
        if time_s is not None and time_s > self._limits.max_seconds:
            raise MediaError(
                f"{self.name}: has sound at {time_s:.0f} s; "
                f"at most {self._limits.max_seconds:g} s are allowed"
            )
        rate = self._source_rate = self._source_rate or frame.sample_rate
        shift = None
        if time_s is not None:
            came = self._released + self._held_samples
            shift = round((time_s - self.origin_s) * rate) - came
        wave = self._mono(frame, rate)
        self._held.append(_Piece(wave, shift))
        self._held_samples += len(wave)
        while self._held and self._held_samples >= SETTLE_S * rate:
            self._release(rate)

    def finish(self) -> None:
        """No more sound: what still waits, and what the resampling filter holds, comes out."""
        while self._held and self._source_rate is not None:
            self._release(self._source_rate)
        self._flush()
        if self._to_rate is not None:
            self._keep_frames(self._to_rate.resample(None))

    def take(self, samples: int) -> Float32[np.ndarray, " n"]:
        """Hand out the next `samples` samples and forget them; silence where fewer are ready."""
        have = min(samples, self.ready)
        parts: list[Float32[np.ndarray, " n"]] = [np.zeros(0, np.float32)]
        left = have
        while left:
            part = self._out.popleft()
            if len(part) > left:
                self._out.appendleft(part[left:])
            parts.append(part[:left])
            left -= len(parts[-1])
        self._taken += have
        parts.append(np.zeros(samples - have, np.float32))
        return np.clip(np.nan_to_num(np.concatenate(parts)), -1, 1)

    def _mono(self, frame: av.AudioFrame, rate: int) -> Float32[np.ndarray, " n"]:
        """The frame's sound as float32 at one rate, mixed down."""
        setup = (frame.format.name, frame.layout.name, frame.sample_rate)
        if setup != self._setup:  # The first frame, or the stream changed its format.
            self._setup = setup
            self._weights = downmix_weights([channel.name for channel in frame.layout.channels])
            self._to_float = av.AudioResampler("fltp", setup[1], rate)
        if setup[0] in FULL_SCALE and setup[2] == rate:  # As the converter does, ten times faster.
            return _mix(self._weights / np.float32(FULL_SCALE[setup[0]]), _channels(frame))
        assert self._to_float is not None
        frame.pts = None  # Ours are kept apart; the filter must not act on them.
        pieces = [_mix(self._weights, _channels(f)) for f in self._to_float.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *pieces])

    def _release(self, rate: int) -> None:
        """Place the first of the pieces that wait."""
        if self._shift is None:
            self._shift = self._held[0].shift or 0
        self._shift += self._deviation(self._shift, rate)
        wave = self._held.popleft().wave
        begin = self._released + self._shift
        self._silence(begin - self._placed, rate)
        self._push(wave[max(0, self._placed - begin) :], rate)
        self._released += len(wave)
        self._held_samples -= len(wave)

    def _deviation(self, shift: int, rate: int) -> int:
        """How many samples later the first piece belongs than `shift` puts it."""
        if self._held[0].shift is None:
            return 0
        if abs(self._held[0].shift - shift) <= TOLERANCE_S * rate:
            return 0  # As below, at once: it is nearly always so.
        late = [piece.shift - shift for piece in self._held if piece.shift is not None]
        if abs(late[0]) > JITTER_S * rate:
            return late[0]
        least = min(late, key=abs)
        agree = all(samples * least > 0 for samples in late)
        return least if agree and abs(least) > TOLERANCE_S * rate else 0

    def _silence(self, samples: int, rate: int) -> None:
        if samples <= 0:
            return
        second = np.zeros(rate, np.float32)
        while samples > 0 and not self.is_done:
            self._push(second[:samples], rate)
            samples -= min(samples, rate)

    def _push(self, wave: Float32[np.ndarray, " n"], rate: int) -> None:
        """Append sound at the source's rate; nothing once all wanted samples are there."""
        if not len(wave) or self.is_done:
            return
        self._batch.append(wave)
        self._batched += len(wave)
        self._placed += len(wave)
        if self._batched >= BATCH_S * rate:
            self._flush()

    def _flush(self) -> None:
        """Bring what is placed to the wanted rate."""
        rate = self._source_rate
        if not self._batched or rate is None:
            return
        wave = np.concatenate(self._batch)
        begin = self._placed - self._batched
        self._batch, self._batched = [], 0
        if rate == self.sample_rate:
            self._keep(wave)
            return
        if self._to_rate is None:
            self._to_rate = av.AudioResampler("fltp", "mono", self.sample_rate)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin
        self._keep_frames(self._to_rate.resample(frame))

    def _keep_frames(self, frames: list[av.AudioFrame]) -> None:
        for frame in frames:
            self._keep(frame.to_ndarray()[0])

    def _keep(self, wave: Float32[np.ndarray, " n"]) -> None:
        """Append to what comes out, leaving out what lies before the window."""
        before = max(0, self._skip - self._made)
        self._made += len(wave)
        if before < len(wave):
            self._out.append(wave[before:])


def _channels(frame: av.AudioFrame) -> list[Shaped[np.ndarray, " n"]]:
    """The samples of each channel, in the type and units of the frame's format; not copied."""
    dtype = np.int16 if frame.format.name.startswith("s16") else np.float32
    planes = [np.frombuffer(memoryview(plane), dtype) for plane in frame.planes]
    if frame.format.is_packed:
        count = len(frame.layout.channels)
        planes = [planes[0][first::count] for first in range(count)]
    return [plane[: frame.samples] for plane in planes]


def _mix(
    weights: Float32[np.ndarray, " a"], channels: list[Shaped[np.ndarray, " n"]]
) -> Float32[np.ndarray, " n"]:
    """The weighted sum of the channels; sample by sample the same however the sound is cut up."""
    mixed = np.multiply(channels[0], weights[0], dtype=np.float32)
    for weight, channel in zip(weights[1:], channels[1:], strict=True):
        mixed += np.multiply(channel, weight, dtype=np.float32)
    return mixed


def downmix_weights(channels: list[str]) -> Float32[np.ndarray, " a"]:
    """Weight of each channel in the mono mix, sum 1, so that the mix never exceeds [-1, 1].

    A single channel is kept as it is; stereo is the mean of both; see `DOWNMIX` for the rest.
    """
    weights = np.array([DOWNMIX.get(name, 0.5) for name in channels], np.float32)
    if not weights.sum():
        weights = np.ones(len(channels), np.float32)
    return weights / weights.sum()

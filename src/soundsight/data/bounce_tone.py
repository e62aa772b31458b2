"""BounceTone: a ball that bounces and can be heard, the smallest world with three couplings.

A disc bounces on the floor of a dark square. Where it stands from left to right is the pitch, its
colour is the timbre, and every contact with the floor is an onset. Each coupling can be cut, alone
or with others, for controls. The picture's frame k shows the state at its middle, (k + 0.5) / fps.

Per clip: u ~ U(0, 1), class c of 4, period P in (1/4, 1/3, 1/2) s and phase φ ~ U(0, P). In a
picture of side S the disc has the radius r = 0.09 S and its centre stands at x = r + u (S - 1 - 2r)
and |sin(π (t - φ) / P)| of the room high. The tone has 220 · 4^u Hz; its envelope is
exp(-(t - t_k) / 0.06 s) from each contact t_k to the next. (A sum over all earlier contacts is the
same up to a factor of 1 to 1.016.)

Source: our own design.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from soundsight.data.digits import SPLITS
from soundsight.data.m3so_motion import uniforms
from soundsight.data.orchestra import nearest_sample_rate
from soundsight.data.orchestra_sound import read_cycle, wave_cycle
from soundsight.data.perceived import Perceived
from soundsight.media.clip import Clip, ClipSpec

Coupling = Literal["pitch", "class", "onset"]
COUPLINGS: tuple[Coupling, ...] = ("pitch", "class", "onset")
TIMBRES = ("sine", "odd", "saw", "fm")
COLOURS = np.array(((0.95, 0.30, 0.25), (0.30, 0.85, 0.35), (0.35, 0.55, 1.00), (0.95, 0.85, 0.30)))
"""RGB of the classes; sine is red, odd harmonics green, saw blue, FM yellow."""
PERIODS_S = (1 / 4, 1 / 3, 1 / 2)
DECAY_S = 0.06
RADIUS = 0.09
"""Of the disc, as a share of the picture's side."""
LOWEST_HZ, HIGHEST_HZ = 220.0, 880.0
PARTIALS: dict[str, tuple[float, ...]] = {
    "sine": (1.0,),
    "odd": (1, 0, 1 / 3, 0, 1 / 5, 0, 1 / 7),
    "saw": (1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6, 1 / 7),
    # sin(x + 2 sin x): harmonic k has J_{k-1}(2) + (-1)^k J_{k+1}(2), of Bessel functions.
    "fm": (-0.1289, 0.7057, 0.3188, 0.1360, 0.0328, 0.0072),
}
"""Amplitudes of the harmonics of each timbre."""
GROUND = 0.05
"""Grey of the background."""
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601.


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class BounceTone:
    """Configuration. Frame size, rates and length come from the `ClipSpec` given to `build`.

    Example:
        >>> spec = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16000)
        >>> data = BounceTone(cut=("pitch",)).build(spec, "train")
        >>> tuple(data.clips([0, 5]).video.shape), data.truth([0]).contacts_s.shape[0]
        ((2, 10, 3, 64, 64), 1)
    """

    kind: Literal["bounce_tone"] = "bounce_tone"
    clips: tuple[int, int, int] = (4000, 500, 500)
    """Clips in train, val and test."""
    cut: tuple[Coupling, ...] = ()
    """Couplings that are cut: for each, the sound's side ("pitch": u; "class": timbre; "onset":
    period and phase) is drawn anew, apart from the picture's. The picture stays as it is."""
    seed: int = 1
    """Root of all randomness."""

    def build(self, spec: ClipSpec, split: str) -> "BounceToneDataset":
        """Open one split.

        Args:
            spec: frame size, rates and length of the clips.
            split: "train", "val" or "test".

        Raises:
            ValueError: if the split is unknown, a number is out of range, or the spec cannot show
                the disc or carry the tones.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        if self.seed < 0:
            raise ValueError(f"seed={self.seed} must not be negative")
        if min(self.clips) < 0:
            raise ValueError(f"clips={self.clips} must not be negative")
        if spec.size < 16:
            raise ValueError(f"size={spec.size} px is too small for the disc; nearest: 16")
        needed = int(np.ceil(2 * 3 * HIGHEST_HZ / 0.9))
        if spec.sample_rate < needed:
            nearest = nearest_sample_rate(needed, spec.fps)
            raise ValueError(
                f"sample_rate={spec.sample_rate} Hz cannot carry three harmonics of the highest "
                f"tone, {HIGHEST_HZ:.0f} Hz; nearest that can: {nearest} Hz"
            )
        return BounceToneDataset(self, spec, split)


class Bounces(NamedTuple):
    """What decides about one side, picture or sound, of b clips."""

    u: Float64[np.ndarray, " b"]
    """Place from left (0) to right (1); pitch from 220 to 880 Hz."""
    kind: Int64[np.ndarray, " b"]
    """Class, 0 to 3: colour; timbre."""
    period_s: Float64[np.ndarray, " b"]
    phase_s: Float64[np.ndarray, " b"]
    """When the first contact at or after 0 happens, s."""

    def contacts(self, seconds: float) -> Float64[np.ndarray, "b m"]:
        """When the ball meets the floor within a clip, s; rows are filled up with NaN."""
        most = int(np.ceil(seconds / min(PERIODS_S))) + 1
        times = self.phase_s[:, None] + np.arange(most) * self.period_s[:, None]
        return np.where(times < seconds, times, np.nan)

    @property
    def hertz(self) -> Float64[np.ndarray, " b"]:
        """Pitch, to a millionth."""
        return np.round(LOWEST_HZ * 4**self.u, 6)


@dataclasses.dataclass(frozen=True)
class BounceToneTruth:
    """What b clips show and sound like; at most m contacts, rows filled up with NaN.

    Fields of sound equal those of the picture unless their coupling is cut.
    """

    u: Float64[np.ndarray, " b"]
    """Place from left (0) to right (1)."""
    classes: Int64[np.ndarray, " b"]
    """Colour, 0 to 3; the label."""
    period_s: Float64[np.ndarray, " b"]
    phase_s: Float64[np.ndarray, " b"]
    """When the first contact happens."""
    contacts_s: Float64[np.ndarray, "b m"]
    """All contacts with the floor."""
    height: Float64[np.ndarray, "b t"]
    """Of the ball at the middle of each frame, 0 (floor) to 1."""
    pitch_hz: Float64[np.ndarray, " b"]
    """Heard: 220 · 4^u of the sound's own u."""
    sound_u: Float64[np.ndarray, " b"]
    sound_classes: Int64[np.ndarray, " b"]
    """Timbre, 0 to 3."""
    sound_contacts_s: Float64[np.ndarray, "b m"]
    """Onsets heard."""


class BounceToneDataset:
    """Clips of one split: clip i depends on the configuration, the split and i, nothing else."""

    def __init__(self, config: BounceTone, spec: ClipSpec, split: str) -> None:
        self.config = config
        self.spec = spec
        self._split = SPLITS.index(split)

    def __len__(self) -> int:
        return self.config.clips[self._split]

    @property
    def labels(self) -> Int64[np.ndarray, " b"]:
        """Class seen in every clip of the split."""
        seen, _ = self._draw(range(len(self)))
        return seen.kind

    def clips(self, indices: Sequence[int]) -> Clip:
        """These clips, in this order: video, sound, and the colour as label.

        Each is a recording of its own, from its beginning on.

        Raises:
            IndexError: if an index is negative or too large.
        """
        seen, heard = self._draw(indices)
        return Clip(
            self.spec,
            video=torch.from_numpy(self._frames(seen) / np.float32(255)),
            audio=torch.from_numpy(_sound(heard, self.spec)),
            label=torch.from_numpy(seen.kind),
            source=torch.tensor(list(indices), dtype=torch.int64),
            start=torch.zeros(len(indices), dtype=torch.float64),
        )

    def truth(self, indices: Sequence[int]) -> BounceToneTruth:
        """What happens in these clips; nothing is painted or played."""
        seen, heard = self._draw(indices)
        return BounceToneTruth(
            u=seen.u,
            classes=seen.kind,
            period_s=seen.period_s,
            phase_s=seen.phase_s,
            contacts_s=seen.contacts(self.spec.seconds),
            height=_height(seen, self.spec),
            pitch_hz=heard.hertz,
            sound_u=heard.u,
            sound_classes=heard.kind,
            sound_contacts_s=heard.contacts(self.spec.seconds),
        )

    def perceive(self, clip: Clip) -> Perceived:
        """Read clips, real or generated: the picture alone and the sound alone.

        Args:
            clip: b clips with video and sound.

        Returns:
            The ball's place u and the log2 of the pitch heard; the class by colour (colour pictures
            only) and by timbre; contacts seen and onsets heard.

        Raises:
            ValueError: if the clips lack video or sound.
        """
        from soundsight.data.bounce_tone_oracle import perceive  # It reads this module.

        return perceive(clip)

    def _draw(self, indices: Sequence[int]) -> tuple[Bounces, Bounces]:
        """What is seen, and what is heard."""
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"clip {outside[0]} is not among the split's {len(self)}")
        numbers = uniforms(self.config.seed, self._split, wanted, 0, 8)
        seen, other = _bounces(numbers[:, :4]), _bounces(numbers[:, 4:])
        heard = seen
        if "pitch" in self.config.cut:
            heard = heard._replace(u=other.u)
        if "class" in self.config.cut:
            heard = heard._replace(kind=other.kind)
        if "onset" in self.config.cut:
            heard = heard._replace(period_s=other.period_s, phase_s=other.phase_s)
        return seen, heard

    def _frames(self, seen: Bounces) -> UInt8[np.ndarray, "b t c s s"]:
        """A smooth-edged disc on a dark ground."""
        spec = self.spec
        size = spec.size
        radius = RADIUS * size
        room = size - 1 - 2 * radius
        x = (radius + seen.u * room).astype(np.float32)[:, None, None]
        y = (size - 1 - radius - _height(seen, spec) * room).astype(np.float32)[..., None]
        pixel = np.arange(size, dtype=np.float32)
        across, down = np.square(pixel - x), np.square(pixel - y)
        distance = np.sqrt(down[..., :, None] + across[..., None, :])
        cover = np.clip(np.float32(radius + 0.5) - distance, 0, 1)[:, :, None]
        colour = COLOURS[seen.kind]
        if spec.channels == 1:
            r, g, b = (colour[:, k, None] * weight for k, weight in enumerate(_LUMA))
            colour = r + g + b
        paint = colour.astype(np.float32)[:, None, :, None, None]
        picture = np.float32(GROUND) + cover * (paint - np.float32(GROUND))
        return (picture * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def _bounces(uniform: Float64[np.ndarray, "b 4"]) -> Bounces:
    """Place, class, period and phase from random numbers; the phase is of whole milliseconds."""
    period = np.array(PERIODS_S)[(uniform[:, 2] * len(PERIODS_S)).astype(np.int64)]
    kind = (uniform[:, 1] * len(TIMBRES)).astype(np.int64)
    return Bounces(uniform[:, 0], kind, period, np.floor(1000 * uniform[:, 3] * period) / 1000)


def _height(seen: Bounces, spec: ClipSpec) -> Float64[np.ndarray, "b t"]:
    """Of the ball at the middle of each frame, rounded because sines differ between machines."""
    times = (np.arange(spec.frames) + 0.5) / spec.fps
    turn = np.pi * (times - seen.phase_s[:, None]) / seen.period_s[:, None]
    return np.rint(np.abs(np.sin(turn)) * 2**24) / 2**24


def _sound(heard: Bounces, spec: ClipSpec) -> Float32[np.ndarray, "b n"]:
    """A tone that is struck at every contact, and at the last one before the clip."""
    seconds = np.arange(spec.samples) / spec.sample_rate
    wave = np.empty((len(heard.u), spec.samples), dtype=np.float32)
    for row, out in enumerate(wave):
        hertz, period = float(heard.hertz[row]), float(heard.period_s[row])
        cycle = wave_cycle(PARTIALS[TIMBRES[heard.kind[row]]], hertz, spec.sample_rate)
        sound = read_cycle(cycle, hertz, seconds)
        since = (seconds - float(heard.phase_s[row])) / period
        since -= np.floor(since)
        # Contacts one period apart add up to a geometric series: struck once, louder by a constant.
        # Before the first contact that series is the same, as the ball has bounced for ever.
        envelope = np.rint(np.exp(since * (-period / DECAY_S)) * 2**24) / 2**24
        out[:] = sound * envelope
    return wave

"""M3SO: multimodal stochastic moving digits with a surprise obstacle, made on the fly.

Digits drift over a canvas in straight lines and bounce at its walls. Every digit hums two tones of
its own, louder or softer with its distance from the origin; a bounce changes the tones for one
frame. In the full variant a square block, unseen in the first frames, appears at a random place,
and bouncing off it has tones of its own. Positions are canvas pixels (x right, y down) of the
digit's top-left corner.

Source: A. Chatterjee and A. Cherian, "Sound2Sight" (ECCV 2020), section 4 and the released
generator. What the released generator did otherwise than the paper is a switch of `M3SO`.
Differences from both: several digits do not share their bounces (the released generator changes
every digit's tone when one bounces); the released tones are given at the frequencies at which they
come out of a 4,400 Hz signal instead of aliasing to them; a block is never placed on a digit (the
clip is drawn anew instead) and reflects on the face that is touched first.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from itertools import count
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from soundsight.data.digits import SPLITS, Pool, Source, load_digits
from soundsight.data.m3so_motion import Arena, World, numbers_needed, simulate, uniforms
from soundsight.media.clip import Clip, ClipSpec

TRIES = 200
"""How often a clip whose block finds no room is drawn anew."""
WALL, BLOCK_HIT = 10, 11
"""Tone symbols after the ten digits."""
_LOW = (160, 320, 640, 1280)
_HIGH = {"released": (1840, 720, 1440, 1520), "spread": (1040, 1560, 1820, 2080)}


def tone_table(tones: Literal["released", "spread"]) -> Int64[np.ndarray, "12 2"]:
    """The two tones of every symbol: digits 0-9, wall, block.

    Args:
        tones: "released" or "spread", as in `M3SO.tones`.

    Returns:
        Hz, shape (12, 2): row s is (low, high) of symbol s.

    Source:
        The released generator's dial-tone grid: digit d at row d // 4, column d % 4; wall at
        row 2, column 3; block at row 3, column 0.
    """
    cells = [divmod(d, 4) for d in range(10)] + [(2, 3), (3, 0)]
    return np.array([(_LOW[row], _HIGH[tones][column]) for row, column in cells], dtype=np.int64)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class M3SO:
    """Configuration; the default is the variant without a block (`NB`).

    The frame size, rates and length come from the `ClipSpec` given to `build`; the paper's are 48
    px, 10 fps, 4,400 Hz, 30 frames (70 with a block).
    """

    kind: Literal["m3so"] = "m3so"
    canvas: int = 48
    """Side of the square world, px; a multiple of the frame size, to which it is averaged down."""
    digit: int = 28
    """Side of a digit's image, canvas px (paper: MNIST's 28)."""
    num_digits: int = 1
    """Digits per clip, each with its own voice; the voices' mean is heard."""
    speeds: tuple[int, int] = (2, 6)
    """Smallest and largest speed, canvas px per frame; whole, drawn uniformly (released)."""
    bounce: Literal["random", "specular"] = "random"
    """"random" (paper): a new direction, uniform over the half-circle that points inward (the
    quarter-circle in a corner), at the same speed, from the wall. "specular" (released):
    reflection, up to 2 px outside of the canvas."""
    amp: Literal["inverse", "released"] = "inverse"
    """Amplitude by distance d from the origin (top left), D the largest possible d. "inverse"
    (paper): 1 / (1 + 4 d/D), 0.2 to 1. "released": d/D, 0 to 1."""
    wave: Literal["clean", "released_wrap"] = "clean"
    """"clean": the mean of two sines times the amplitude. "released_wrap": the same after the
    released generator's overflow of 16-bit integers, nearly a square wave."""
    tones: Literal["released", "spread"] = "released"
    """High tones 1840, 720, 1440, 1520 Hz ("released") or, further apart than a 100 Hz bin, 1040,
    1560, 1820, 2080 Hz ("spread"). The low tones are 160, 320, 640, 1280 Hz."""
    audio_lead: Literal[0, 1] = 1
    """1 (paper, released): the sound of frame t tells of the motion from frame t to t + 1. 0: of
    the motion that led to frame t."""
    block: bool = False
    """Whether the surprise obstacle appears."""
    block_side: int = 32
    """Side of the square block, canvas px (released: digit + 4)."""
    block_frame: int = 42
    """First frame that shows the block, counted from 1 (paper: 42)."""
    digits: Source = "sklearn"
    """"sklearn" (built in) or "mnist" (files in `mnist`)."""
    mnist: str = ""
    """Folder of MNIST's four IDX files, gzipped or not; see `digits.fetch_mnist`."""
    pool: Pool = "disjoint"
    """"disjoint": no digit image in two splits. "released": train's images in all of them."""
    clips: tuple[int, int, int] = (8000, 1000, 1000)
    """Clips in train, val and test (paper)."""
    seed: int = 1
    """Root of all randomness."""

    def build(self, spec: ClipSpec, split: str) -> "M3SODataset":
        """Open one split.

        Args:
            spec: frame size, rates and length of the clips.
            split: "train", "val" or "test".

        Raises:
            ValueError: if the split is unknown, or the geometry, rates and tones do not fit.
            FileNotFoundError: if a file of MNIST is missing.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        _check_geometry(self, spec)
        _check_tones(self, spec)
        return M3SODataset(self, spec, split)


NB = M3SO()
"""The paper's M3SO-NB (no block); with `ClipSpec(frames=30)`."""
BLOCK = M3SO(canvas=96, block=True)
"""The paper's M3SO; with `ClipSpec(frames=70)`. The canvas is twice the frame: on 48 px a block of
32 px finds no room beside a digit of 28 px."""
TINY = M3SO(canvas=32, digit=14, speeds=(2, 4))
"""Small and fast; with `ClipSpec(frames=20, size=32)`."""


def _check_geometry(config: M3SO, spec: ClipSpec) -> None:
    """Raise a ValueError unless digits and block fit the canvas and the canvas the frame."""
    c = config
    room = c.canvas - c.digit
    if c.num_digits < 1:
        raise ValueError(f"num_digits={c.num_digits} must be at least 1")
    if c.seed < 0:
        raise ValueError(f"seed={c.seed} must not be negative")
    if min(c.clips) < 0:
        raise ValueError(f"clips={c.clips} must not be negative")
    if c.canvas < 1 or c.canvas % spec.size:
        near = max(c.canvas // spec.size, 1) * spec.size
        raise ValueError(
            f"canvas={c.canvas} px must be a multiple of the frame size {spec.size} px; nearest: "
            f"{near} or {near + spec.size}"
        )
    if not 1 <= c.speeds[0] <= c.speeds[1]:
        raise ValueError(f"speeds={c.speeds} must be (smallest, largest), whole and at least 1")
    if room < c.speeds[1]:
        raise ValueError(
            f"canvas={c.canvas} px leaves a digit of {c.digit} px only {room} px to move in; at "
            f"least the largest speed, {c.speeds[1]} px: canvas >= {c.digit + c.speeds[1]}"
        )
    if not c.block:
        return
    if not 2 <= c.block_frame <= spec.frames:
        raise ValueError(
            f"block_frame={c.block_frame} must be between 2 and the clip's {spec.frames} frames"
        )
    if c.block_side < 1:
        raise ValueError(f"block_side={c.block_side} px must be at least 1")
    if not _has_room(c.canvas, c):
        larger = next(n for n in count(spec.size, spec.size) if _has_room(n, c))
        raise ValueError(f"{_no_room(c)}; nearest canvas that has it: {larger}")


def _has_room(canvas: int, c: M3SO) -> bool:
    """Whether a digit and the block can stand side by side."""
    first, last = canvas // 4, canvas - c.block_side  # Of the block.
    return first <= last and (c.digit <= last or first + c.block_side <= canvas - c.digit)


def _no_room(c: M3SO) -> str:
    digits = f"{c.num_digits} digit{'s' if c.num_digits > 1 else ''} of {c.digit} px"
    return f"canvas={c.canvas} px has no room for block_side={c.block_side} px beside {digits}"


def _check_tones(config: M3SO, spec: ClipSpec) -> None:
    """Raise a ValueError unless every tone has whole cycles in a frame and is below Nyquist."""
    tones = np.unique(tone_table(config.tones))
    common, highest = int(np.gcd.reduce(tones)), int(tones[-1])
    if common % spec.fps:
        rates = [rate for rate in range(1, common + 1) if common % rate == 0]
        nearest = min(rates, key=lambda rate: abs(rate - spec.fps))
        raise ValueError(
            f"fps={spec.fps:g} does not cut tones={config.tones!r} into whole cycles; nearest that "
            f"does: {nearest}"
        )
    if 2 * highest >= spec.sample_rate:
        nearest = next(rate for rate in count(2 * highest + 1) if rate % spec.fps == 0)
        raise ValueError(
            f"sample_rate={spec.sample_rate} Hz cannot carry tones={config.tones!r} up to "
            f"{highest} Hz; nearest that can: {nearest} Hz"
        )


@dataclasses.dataclass(frozen=True)
class M3SOTruth:
    """What really happened in b clips of t frames with m digits, and with the block.

    "Canvas px" are those of `M3SO.canvas`, "frame px" those of the video. Coordinates are (x, y).
    """

    positions: Float64[np.ndarray, "b t m 2"]
    """Top-left corners of the digits' images, canvas px; drawn at their whole part."""
    frame_positions: Float64[np.ndarray, "b t m 2"]
    """The same in frame px."""
    velocities: Float64[np.ndarray, "b t m 2"]
    """Of the motion that starts at frame t, before it meets anything; canvas px per frame."""
    wall_hits: Bool[np.ndarray, "b t m"]
    """Whether the digit meets a wall between frame t and t + 1."""
    block_hits: Bool[np.ndarray, "b t m"]
    """Whether the digit meets the block between frame t and t + 1."""
    block_box: Float64[np.ndarray, "b 4"] | None
    """x0, y0, x1, y1 in frame px, x1 and y1 exclusive; None without a block."""
    block_start: int | None
    """Index, from 0, of the first frame that shows the block; None without a block."""
    classes: Int64[np.ndarray, "b m"]
    """Classes of the digits, 0 to 9."""

    @property
    def wall_hit(self) -> Bool[np.ndarray, "b t"]:
        """Whether any digit meets a wall between frame t and t + 1."""
        return np.any(self.wall_hits, axis=-1)

    @property
    def block_hit(self) -> Bool[np.ndarray, "b t"]:
        """Whether any digit meets the block between frame t and t + 1."""
        return np.any(self.block_hits, axis=-1)


class M3SODataset:
    """Clips of one split: clip i depends on the configuration, the split and i, nothing else."""

    def __init__(self, config: M3SO, spec: ClipSpec, split: str) -> None:
        self.config = config
        self.spec = spec
        self._split = SPLITS.index(split)
        self._digits = load_digits(
            config.digits, SPLITS[self._split], config.digit, pool=config.pool, folder=config.mnist
        )
        self._arena = Arena(
            canvas=config.canvas,
            digit=config.digit,
            num_digits=config.num_digits,
            speeds=config.speeds,
            bounce=config.bounce,
            block_side=config.block_side,
            block_start=config.block_frame - 1 if config.block else None,
        )

    def __len__(self) -> int:
        return self.config.clips[self._split]

    def clips(self, indices: Sequence[int]) -> Clip:
        """These clips, in this order: video, sound, and the class of the first digit as label.

        Raises:
            IndexError: if an index is negative or too large.
        """
        world = self._world(indices)
        frames = _draw(world, self._digits.images, self.config, self.spec)
        # By NumPy, which asks for huge pages: four times as fast as into a new torch tensor.
        video = torch.from_numpy(frames / np.float32(255))[:, :, None]
        label = self._digits.classes[world.images[:, 0]]
        return Clip(
            self.spec,
            video=video.expand(-1, -1, self.spec.channels, -1, -1).contiguous(),
            audio=torch.from_numpy(self._sound(world)),
            label=torch.from_numpy(label),
        )

    def arrays(
        self, indices: Sequence[int]
    ) -> tuple[UInt8[np.ndarray, "b t h w"], Float32[np.ndarray, "b n"]]:
        """The same clips as grey uint8 frames, which `clips` divides by 255, and sound."""
        world = self._world(indices)
        return _draw(world, self._digits.images, self.config, self.spec), self._sound(world)

    def truth(self, indices: Sequence[int]) -> M3SOTruth:
        """What happens in these clips; no frame is drawn."""
        c, world = self.config, self._world(indices)
        factor = c.canvas // self.spec.size
        corner = world.corner / factor
        return M3SOTruth(
            positions=world.positions[:, :-1],
            frame_positions=world.positions[:, :-1] / factor,
            velocities=world.velocities[:, :-1],
            wall_hits=world.walls,
            block_hits=world.blocks,
            block_box=np.hstack([corner, corner + c.block_side / factor]) if c.block else None,
            block_start=c.block_frame - 1 if c.block else None,
            classes=self._digits.classes[world.images],
        )

    def _world(self, indices: Sequence[int]) -> World:
        """Simulate clips; those whose block finds no room are drawn anew."""
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        outside = wanted[(wanted < 0) | (wanted >= len(self))]
        if len(outside):
            raise IndexError(f"clip {outside[0]} is not among the split's {len(self)}")
        world = self._attempt(wanted, 0)
        for attempt in range(1, TRIES):
            (again,) = np.nonzero(~world.placed)
            if len(again) == 0:
                break
            for kept, drawn in zip(world, self._attempt(wanted[again], attempt), strict=True):
                kept[again] = drawn
        if not world.placed.all():
            raise ValueError(f"{_no_room(self.config)} in {TRIES} tries; a larger canvas has more")
        return world

    def _attempt(self, indices: Int64[np.ndarray, " b"], attempt: int) -> World:
        """Simulate each clip from the random numbers of one attempt at it."""
        frames, number = self.spec.frames, numbers_needed(self._arena, self.spec.frames)
        numbers = uniforms(self.config.seed, self._split, indices, attempt, number)
        return simulate(numbers, self._arena, frames, len(self._digits.images))

    def _sound(self, world: World) -> Float32[np.ndarray, "b n"]:
        """Each digit's two tones frame by frame, averaged over the digits."""
        c = self.config
        symbols = np.broadcast_to(self._digits.classes[world.images][:, None], world.walls.shape)
        symbols = np.where(world.blocks, BLOCK_HIT, np.where(world.walls, WALL, symbols))
        positions = world.positions[:, 1:]
        if c.audio_lead == 0:
            before = self._digits.classes[world.images][:, None]
            symbols = np.concatenate([before, symbols[:, :-1]], axis=1)
            positions = world.positions[:, :-1]

        distance = np.hypot(positions[..., 0], positions[..., 1])
        share = distance / (np.sqrt(2.0) * (c.canvas - c.digit))
        amplitude = share if c.amp == "released" else 1 / (1 + 4 * share)
        if c.wave == "clean":
            amplitude = np.minimum(amplitude, 1.0)
        mixed = _voice(self._cycles, symbols[..., 0], amplitude[..., 0])
        for j in range(1, c.num_digits):
            mixed += _voice(self._cycles, symbols[..., j], amplitude[..., j])
        mixed /= c.num_digits
        wave = mixed.reshape(len(mixed), self.spec.samples)
        return wave if c.wave == "clean" else _wrap(wave)

    @cached_property
    def _cycles(self) -> Float32[np.ndarray, "12 n"]:
        """One frame's sound of every symbol at amplitude 1: the mean of its two sines."""
        seconds = np.arange(self.spec.samples_per_frame) / self.spec.sample_rate
        waves = np.sin(2 * np.pi * tone_table(self.config.tones)[:, :, None] * seconds)
        return waves.mean(1).astype(np.float32)


# Picture and sound.

_CHUNK = 16  # Clips drawn at a time, so that the work stays in the cache.


def _draw(
    world: World, pool: UInt8[np.ndarray, "i px px"], c: M3SO, spec: ClipSpec
) -> UInt8[np.ndarray, "b t s s"]:
    """Grey frames: digits at the whole part of their positions plus the block, clipped to 255."""
    factor = c.canvas // spec.size
    frames = np.empty((len(world.images), spec.frames, spec.size, spec.size), dtype=np.uint8)
    pixels = np.trunc(world.positions[:, :-1]).astype(np.int64)
    for start in range(0, len(frames), _CHUNK):
        part = slice(start, start + _CHUNK)
        drawn = _paste(pool[world.images[part, 0]], pixels[part, :, 0], factor, spec.size)
        for j in range(1, c.num_digits):
            other = _paste(pool[world.images[part, j]], pixels[part, :, j], factor, spec.size)
            drawn += np.minimum(other, 255 - drawn)
        if c.block:
            block = _block_image(world.corner[part], c.block_side, factor, spec.size)
            seen = drawn[:, c.block_frame - 1 :]
            seen += np.minimum(block[:, None], 255 - seen)
        frames[part] = drawn
    return frames


def _paste(
    images: UInt8[np.ndarray, "b px px"],
    corners: Int64[np.ndarray, "b t 2"],
    factor: int,
    size: int,
) -> UInt8[np.ndarray, "b t s s"]:
    """Frames of `size` px with an image at whole canvas positions, averaged down by `factor`.

    A frame is a window, `size` wide, of the image on a wide empty ground; the image is averaged
    down once for each of the factor x factor positions it can have within a frame's pixel.
    """
    side = images.shape[-1]
    low = -(-(side + factor - 1) // factor)  # Pixels a digit can touch once averaged down.
    first, last = (bound // factor for bound in (corners.min(), corners.max()))
    width = max(last - first + size, last + low)
    ground = np.zeros((len(images), factor, factor, width, width), dtype=np.uint8)
    for dy, dx in np.ndindex(factor, factor):
        fine = np.zeros((len(images), low * factor, low * factor), dtype=np.uint8)
        fine[:, dy : dy + side, dx : dx + side] = images
        ground[:, dy, dx, last : last + low, last : last + low] = _average(fine, factor)
    windows = np.lib.stride_tricks.sliding_window_view(ground, (size, size), axis=(-2, -1))
    (x, dx), (y, dy) = (np.divmod(corners[..., axis], factor) for axis in (0, 1))
    return windows[np.arange(len(images))[:, None], dy, dx, last - y, last - x]


def _average(images: UInt8[np.ndarray, "b h w"], factor: int) -> UInt8[np.ndarray, "b i j"]:
    """Means over factor x factor pixels, rounded to the nearest, halves up."""
    if factor == 1:
        return images
    b, h, w = images.shape
    cells = images.reshape(b, h // factor, factor, w // factor, factor)
    total = cells.sum((2, 4), dtype=np.uint32)
    return ((2 * total + factor**2) // (2 * factor**2)).astype(np.uint8)


def _block_image(
    corners: Float64[np.ndarray, "b 2"], side: int, factor: int, size: int
) -> UInt8[np.ndarray, "b s s"]:
    """White squares, averaged down by `factor`."""
    edges = np.arange(size) * factor  # Canvas px at which the frame's pixels start.
    low = corners[:, :, None]
    covered = np.minimum(edges + factor, low + side) - np.maximum(edges, low)
    share = np.clip(covered, 0, None) / factor  # (b, (x, y), s).
    return np.floor(255 * share[:, 1, :, None] * share[:, 0, None, :] + 0.5).astype(np.uint8)


def _voice(
    cycles: Float32[np.ndarray, "i n"],
    symbols: Int64[np.ndarray, "b t"],
    amplitude: Float64[np.ndarray, "b t"],
) -> Float32[np.ndarray, "b t n"]:
    """One frame of its symbol's sound after the other, each at its amplitude."""
    sound = cycles[symbols]
    sound *= amplitude.astype(np.float32)[..., None]
    return sound


def _wrap(wave: Float32[np.ndarray, "b n"]) -> Float32[np.ndarray, "b n"]:
    """What a wave becomes when int(32767 + 32767 wave) is kept in 16 bits."""
    whole = np.trunc(32767 + 32767 * wave.astype(np.float64)).astype(np.int64)
    return whole.astype(np.int16).astype(np.float32) / 32768

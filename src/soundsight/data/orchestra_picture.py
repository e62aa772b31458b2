"""How `Orchestra` is painted: smooth-edged shapes on many pictures at once, and the players.

Lengths are in units of 1/64 of the picture's side, x to the right and y down. Painting uses sums,
products, quotients and square roots only (of float32 numbers in a fixed order), so a picture is the
same on any machine.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from soundsight.data.orchestra_instruments import PLAYERS, Colour, Drawing, Part, Rod, Stage, draw
from soundsight.data.orchestra_notes import Motion

UNITS = 64.0
"""The side of a picture."""
GLOVE, GLOVE_EDGE = (0.98, 0.98, 0.98), (0.08, 0.08, 0.12)
GLOVE_RADIUS = 2.6
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601.
_SKINS = ((0.98, 0.82, 0.69), (0.90, 0.69, 0.52), (0.72, 0.50, 0.35), (0.48, 0.32, 0.22))
_HAIRS = ((0.12, 0.09, 0.08), (0.36, 0.22, 0.12), (0.80, 0.62, 0.28), (0.62, 0.62, 0.64))


class Looks(NamedTuple):
    """What varies from player to player; colours are (b, 3) in [0, 1]."""

    wall: Float64[np.ndarray, "b 3"]
    wall_low: Float64[np.ndarray, "b 3"]
    floor: Float64[np.ndarray, "b 3"]
    clothes: Float64[np.ndarray, "b 3"]
    sleeves: Float64[np.ndarray, "b 3"]
    skin: Float64[np.ndarray, "b 3"]
    hair: Float64[np.ndarray, "b 3"]
    gloss: Float64[np.ndarray, " b"]
    """Brightness of the instrument, a factor."""
    shift: Float64[np.ndarray, "b 2"]
    """Where everything but the wall is shifted to, x and y, units."""


def dress(uniform: Float64[np.ndarray, "b i"]) -> Looks:
    """Draw player and background from uniform numbers, `orchestra_notes.LOOKS` per clip."""
    wall = 0.45 + 0.35 * uniform[:, 17:18] + 0.3 * (uniform[:, 0:3] - 0.5)
    floor = 0.2 + 0.3 * uniform[:, 18:19] + 0.2 * (uniform[:, 6:9] - 0.5)
    clothes = 0.15 + 0.4 * uniform[:, 19:20] + 0.35 * uniform[:, 9:12]
    return Looks(
        wall=wall,
        wall_low=np.clip(wall + 0.25 * (uniform[:, 3:6] - 0.6), 0, 1),
        floor=floor,
        clothes=clothes,
        sleeves=0.78 * clothes,
        skin=np.array(_SKINS)[(uniform[:, 12] * len(_SKINS)).astype(np.int64)],
        hair=np.array(_HAIRS)[(uniform[:, 13] * len(_HAIRS)).astype(np.int64)],
        gloss=0.9 + 0.15 * uniform[:, 14],
        shift=np.floor(uniform[:, 15:17] * 5) - 2,
    )


def paint(
    instrument: int,
    looks: Looks,
    motion: Motion,
    size: int,
    channels: int,
    *,
    glove: bool = True,
    arms: bool = True,
) -> Float32[np.ndarray, "b t c s s"]:
    """Pictures of b players of one instrument at t times, in [0, 1].

    Args:
        instrument: class.
        looks: of the players.
        motion: pose and stroke.
        size: side s, px.
        channels: 1 (grey) or 3 (RGB).
        glove: whether to draw the gloved hand.
        arms: whether to draw arms and the other hand.
    """
    still = _Canvas(_wall(looks, size, channels))
    dx, dy = looks.shift[:, :1], looks.shift[:, 1:]
    stage = Stage(motion.pose, motion.stroke, dx, dy, looks.gloss[:, None, None])
    drawing = draw(instrument, stage)
    for part in _player(instrument, looks, dx, dy):
        still.add(part)
    for part in drawing.still:
        still.add(part)

    moving = _Canvas(np.repeat(still.pixels, motion.pose.shape[1], axis=1))
    if arms:
        for part in _arms(instrument, looks, drawing, dx, dy):
            moving.add(part)
    for part in drawing.moving:
        moving.add(part)
    if arms and drawing.other_hand is not None:
        moving.add(Part((_dot(*drawing.other_hand, 2.0),), looks.skin[:, None], None))
    if glove:
        moving.add(Part((_dot(*drawing.glove, GLOVE_RADIUS),), GLOVE, GLOVE_EDGE))
    return moving.pixels


def to_bytes(pixels: Float32[np.ndarray, "b t c s s"]) -> UInt8[np.ndarray, "b t c s s"]:
    """Values of [0, 1] as 0 to 255, to the nearest."""
    scaled = pixels * np.float32(255)
    scaled += np.float32(0.5)
    return scaled.astype(np.uint8)


def _dot(x: np.ndarray, y: np.ndarray, radius: float) -> Rod:
    return Rod(x, y, x, y, radius, radius)


def _wall(looks: Looks, size: int, channels: int) -> Float32[np.ndarray, "b 1 c s s"]:
    """A wall that changes its colour from top to bottom, and the floor."""
    high, low, floor = (
        _channels(colour, channels)[:, :, None, None]
        for colour in (looks.wall, looks.wall_low, looks.floor)
    )
    y = ((np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(UNITS / size))[:, None]
    column = high + (low - high) * (y / np.float32(UNITS))
    column += np.clip((y - np.float32(54)) * np.float32(size / UNITS), 0, 1) * (floor - column)
    return np.repeat(column[:, None], size, axis=-1)


def _player(
    instrument: int,
    looks: Looks,
    dx: Float64[np.ndarray, "b 1"],
    dy: Float64[np.ndarray, "b 1"],
) -> list[Part]:
    """Body, head and hair, without arms."""
    x, y = PLAYERS[instrument].x + dx, PLAYERS[instrument].y + dy
    colours = [colour[:, None] for colour in (looks.clothes, looks.skin, looks.hair)]
    body = Rod(x, y + 14, x, y + 60, 7.5, 11)
    neck = Rod(x, y + 4, x, y + 8, 2.2, 2.2)
    return [
        Part((body,), colours[0], None),
        Part((neck,), 0.9 * colours[1], None),
        Part((_dot(x, y - 1.2, 6.4),), colours[2], None),
        Part((Rod(x, y + 0.6, x, y + 1.6, 5.2, 4.8),), colours[1], None),
    ]


def _arms(
    instrument: int,
    looks: Looks,
    drawing: Drawing,
    dx: Float64[np.ndarray, "b 1"],
    dy: Float64[np.ndarray, "b 1"],
) -> list[Part]:
    """A sleeve from a shoulder to the glove, and one to the other hand."""
    x, y = PLAYERS[instrument].x + dx, PLAYERS[instrument].y + dy + 13
    side = PLAYERS[instrument].glove_side
    hands = [(side, drawing.glove)]
    if drawing.other_hand is not None:
        hands.append((-side, drawing.other_hand))
    return [
        Part((Rod(x + 6 * s, y, hx, hy, 2.6, 1.7),), looks.sleeves[:, None], None)
        for s, (hx, hy) in hands
    ]


class _Canvas:
    """Pictures to paint on."""

    def __init__(self, pixels: Float32[np.ndarray, "b t c s s"]) -> None:
        self.pixels = pixels
        self._size, self._channels = pixels.shape[-1], pixels.shape[2]

    def add(self, part: Part) -> None:
        """Paint a part over what is there: its edge first, then its inside."""
        size, scale = self._size, np.float32(self._size / UNITS)
        rods = [
            _Rod32(*(np.asarray(v, dtype=np.float32)[..., None, None] for v in r[:6]))
            for r in part.rods
        ]
        margin = part.edge_width + float(UNITS / size)
        x0, x1 = _span([(r.ax, r.bx, r.r0, r.r1) for r in rods], margin, size)
        y0, y1 = _span([(r.ay, r.by, r.r0, r.r1) for r in rods], margin, size)
        if x0 >= x1 or y0 >= y1:
            return
        step = np.float32(UNITS / size)
        xs = (np.arange(x0, x1, dtype=np.float32) + np.float32(0.5)) * step
        ys = ((np.arange(y0, y1, dtype=np.float32) + np.float32(0.5)) * step)[:, None]
        distance: np.ndarray | None = None
        for rod, plain in zip(rods, part.rods, strict=True):
            other = _bell(rod, xs, ys) if plain.bell else _capsule(rod, xs, ys)
            distance = other if distance is None else np.minimum(distance, other)
        assert distance is not None
        distance *= -scale
        distance += np.float32(0.5)
        region = self.pixels[..., y0:y1, x0:x1]
        if part.edge is not None:
            wide = distance + np.float32(part.edge_width) * scale
            self._blend(region, wide, part.edge)
        self._blend(region, distance, part.fill)

    def _blend(self, region: np.ndarray, cover: np.ndarray, colour: Colour) -> None:
        cover = np.minimum(np.maximum(cover, np.float32(0)), np.float32(1))[..., None, :, :]
        paint = _channels(np.asarray(colour), self._channels)[..., None, None]
        difference = paint - region
        difference *= cover
        region += difference


class _Rod32(NamedTuple):
    """A rod's numbers, with axes for rows and columns."""

    ax: np.ndarray
    ay: np.ndarray
    bx: np.ndarray
    by: np.ndarray
    r0: np.ndarray
    r1: np.ndarray


def _channels(colour: np.ndarray, channels: int) -> Float32[np.ndarray, "*b c"]:
    """A colour as RGB or as grey."""
    if channels == 1:
        r, g, b = (colour[..., k, None] * weight for k, weight in enumerate(_LUMA))
        colour = r + g + b
    return colour.astype(np.float32)


def _span(
    ends: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]], margin: float, size: int
) -> tuple[int, int]:
    """First and one past the last pixel, along one axis, that any rod touches."""
    low = min(float(np.minimum(a, b).min()) - _widest(r0, r1) for a, b, r0, r1 in ends) - margin
    high = max(float(np.maximum(a, b).max()) + _widest(r0, r1) for a, b, r0, r1 in ends) + margin
    return max(int(low * size / UNITS), 0), min(int(high * size / UNITS) + 1, size)


def _widest(r0: np.ndarray, r1: np.ndarray) -> float:
    return max(float(r0.max()), float(r1.max()))


def _along(
    rod: _Rod32, xs: np.ndarray, ys: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixels relative to a, the rod's vector and squared length, and the share of the way to b."""
    dx, dy = xs - rod.ax, ys - rod.ay
    vx, vy = rod.bx - rod.ax, rod.by - rod.ay
    square = np.maximum(vx * vx + vy * vy, np.float32(1e-6))
    share = dx * (vx / square) + dy * (vy / square)
    return dx, dy, vx, vy, square, share


def _capsule(rod: _Rod32, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Signed distance to a rod with round ends whose radius goes from r0 to r1, units."""
    if np.array_equal(rod.ax, rod.bx) and np.array_equal(rod.ay, rod.by):
        dx, dy = xs - rod.ax, ys - rod.ay
        square = dx * dx + dy * dy
        return np.sqrt(square, out=square) - rod.r0
    dx, dy, vx, vy, _, share = _along(rod, xs, ys)
    np.maximum(share, np.float32(0), out=share)
    np.minimum(share, np.float32(1), out=share)
    ex = dx - share * vx
    ey = dy - share * vy
    ex *= ex
    ey *= ey
    ex += ey
    np.sqrt(ex, out=ex)
    share *= rod.r1 - rod.r0
    ex -= share
    ex -= rod.r0
    return ex


def _bell(rod: _Rod32, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Nearly the signed distance to a bell: flat ends, a radius that grows as a square."""
    dx, dy, vx, vy, square, share = _along(rod, xs, ys)
    length = np.sqrt(square)
    across = np.abs(dx * (vy / length) - dy * (vx / length))
    inside = np.minimum(np.maximum(share, np.float32(0)), np.float32(1))
    inside *= inside
    inside *= rod.r1 - rod.r0
    across -= inside
    across -= rod.r0
    share -= np.float32(0.5)
    np.abs(share, out=share)
    share -= np.float32(0.5)
    share *= length
    return np.maximum(across, share)

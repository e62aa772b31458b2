"""Drawings of the thirteen instruments of `Orchestra`: shape, colour and size by class.

A drawing is a list of parts, painted one over the other. The gloved hand stands where the pitch is:
along the fingerboard of strings, along the tube of winds, on the slide of the trombone. A stroke
moves the bow of strings and turns winds about the mouth. Lengths are in units of 1/64 of the
picture's side, x to the right and y down.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

Colour = np.ndarray | tuple[float, float, float]
"""RGB in [0, 1]; an array has shape (b, 1, 3)."""
Lengths = Float64[np.ndarray, "b t"]
Point = tuple[np.ndarray, np.ndarray]
"""x and y, each (b, t) or (b, 1)."""

DARK = (0.08, 0.06, 0.06)
BOW = (0.93, 0.87, 0.70)


class Rod(NamedTuple):
    """A straight piece from a to b; ends are round, or flat and widening as those of a bell."""

    ax: np.ndarray
    ay: np.ndarray
    bx: np.ndarray
    by: np.ndarray
    r0: float | int
    """Radius at a."""
    r1: float | int
    """Radius at b."""
    bell: bool = False


class Part(NamedTuple):
    """Rods of one colour that are one shape."""

    rods: tuple[Rod, ...]
    fill: Colour
    edge: Colour | None = DARK
    edge_width: float | int = 0.8


class Drawing(NamedTuple):
    """An instrument as it is played."""

    still: list[Part]
    moving: list[Part]
    glove: Point
    """The hand whose place tells the pitch."""
    other_hand: Point | None


class Player(NamedTuple):
    """Where the player of an instrument stands."""

    x: float | int
    y: float | int
    """Of the head."""
    glove_side: int
    """1: the gloved arm comes from the shoulder on the right of the picture; -1: on its left."""


class Stage(NamedTuple):
    """What a drawing depends on."""

    pose: Lengths
    """0 lowest, 1 highest note."""
    stroke: Lengths
    """-1 to 1."""
    dx: np.ndarray
    dy: np.ndarray
    gloss: np.ndarray
    """Factor of brightness, (b, 1, 1)."""

    def shine(self, *rgb: float | int) -> np.ndarray:
        """The player's own shade of a colour."""
        return np.minimum(np.array(rgb) * self.gloss, 1.0)

    def at(self, x: float | int, y: float | int) -> Point:
        """A place that shares the player's shift."""
        return x + self.dx, y + self.dy

    def held(self, x: float | int, y: float | int, angle: np.ndarray | float | int) -> "Held":
        """Things held at a point under an angle, radians clockwise from the right."""
        turn = np.broadcast_to(np.asarray(angle, dtype=np.float64), np.shape(angle) or (1, 1))
        # Rounded, because the last digit of a cosine differs between machines.
        cosine, sine = (np.rint(f(turn) * 2**20) / 2**20 for f in (np.cos, np.sin))
        return Held(x + self.dx, y + self.dy, cosine, sine)


class Held(NamedTuple):
    """Coordinates of a turned thing: `along` its length and `across`, clockwise of it."""

    x: np.ndarray
    y: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray

    def at(self, along: np.ndarray | float | int, across: np.ndarray | float | int = 0.0) -> Point:
        """The picture's coordinates of a place."""
        return (
            self.x + along * self.cosine - across * self.sine,
            self.y + along * self.sine + across * self.cosine,
        )

    def rod(
        self,
        a: tuple[np.ndarray | float | int, np.ndarray | float | int],
        b: tuple[np.ndarray | float | int, np.ndarray | float | int],
        r0: float | int,
        r1: float | int | None = None,
        *,
        bell: bool = False,
    ) -> Rod:
        """A rod between two places, given as (along, across)."""
        return Rod(*self.at(*a), *self.at(*b), r0, r0 if r1 is None else r1, bell)

    def chain(
        self, r: float | int, *places: tuple[np.ndarray | float | int, np.ndarray | float | int]
    ) -> tuple[Rod, ...]:
        """A tube through several places."""
        return tuple(self.rod(a, b, r) for a, b in pairwise(places))


def draw(instrument: int, stage: Stage) -> Drawing:
    """Draw one instrument.

    Args:
        instrument: class, 0 to 12.
        stage: pose, stroke, shift and gloss.
    """
    return _DRAWINGS[instrument](stage)


# Strings: the body stands still, the hand moves along the neck, the bow across the strings.


def _fiddle(h: Held, s: Stage, size: float | int, neck: float | int, wood: np.ndarray) -> Drawing:
    """Violin or viola, held at the chin; `size` is a factor of the body, `neck` where it ends."""
    body = (
        h.rod((4.6 * size, 0), (5 * size, 0), 4.7 * size),
        h.rod((9 * size, 0), (10 * size, 0), 2.9 * size),
        h.rod((13 * size, 0), (13.4 * size, 0), 3.9 * size),
    )
    board = h.rod((9 * size, 0), (neck, 0), 1.1, 0.9)
    scroll = h.rod((neck, 0), (neck + 1, 0), 1.4)
    bow = Held(*h.at(8 * size), *_turned(h, -1.2))
    reach = 7.5 * s.stroke
    stick = bow.rod((reach - 16, 0), (reach + 13, 0), 0.7)
    frog = bow.rod((reach - 14, 0), (reach - 11.5, 0), 1.5)
    return Drawing(
        [Part(body, wood), Part((board, scroll), DARK, None)],
        [Part((stick,), BOW), Part((frog,), DARK, None)],
        h.at(neck - 1 - 22 * s.pose),
        bow.at(reach - 16),
    )


def _turned(h: Held, angle: float | int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of a direction relative to that of a held thing."""
    c, d = (round(f(angle) * 2**20) / 2**20 for f in (np.cos, np.sin))
    return h.cosine * c - h.sine * d, h.sine * c + h.cosine * d


def _violin(s: Stage) -> Drawing:
    return _fiddle(s.held(24, 26.5, 0.06), s, 1.05, 36, s.shine(0.96, 0.52, 0.12))


def _viola(s: Stage) -> Drawing:
    return _fiddle(s.held(22.5, 24, 0.5), s, 1.25, 38, s.shine(0.60, 0.14, 0.20))


def _standing(
    h: Held, s: Stage, size: float | int, neck: float | int, wood: np.ndarray, bow_at: float | int
) -> Drawing:
    """Cello or double bass: up from its foot; the bow is level."""
    body = (
        h.rod((9.5 * size, 0), (10.5 * size, 0), 9.2 * size),
        h.rod((18 * size, 0), (20 * size, 0), 5.8 * size),
        h.rod((25.5 * size, 0), (26.5 * size, 0), 6.6 * size),
    )
    pin = h.rod((-4, 0), (2, 0), 0.6)
    board = h.rod((20 * size, 0), (neck, 0), 1.3, 1.0)
    scroll = h.rod((neck, 0), (neck + 1, 0), 1.6)
    holes = tuple(h.rod((11 * size, k * 4 * size), (17 * size, k * 3 * size), 0.5) for k in (-1, 1))
    x, y = h.at(bow_at)
    reach = 9 * s.stroke
    stick = Rod(x + reach - 20, y + 1.5, x + reach + 14, y - 1.5, 0.7, 0.7)
    frog = Rod(x + reach - 18, y + 1.3, x + reach - 15.5, y + 1.1, 1.5, 1.5)
    return Drawing(
        [Part((pin,), DARK, None), Part(body, wood), Part((board, scroll, *holes), DARK, None)],
        [Part((stick,), BOW), Part((frog,), DARK, None)],
        h.at(neck - 1 - 24 * s.pose),
        (x + reach - 20, y + 1.5),
    )


def _cello(s: Stage) -> Drawing:
    return _standing(s.held(31, 60, -1.42), s, 0.95, 53, s.shine(0.80, 0.34, 0.10), 16)


def _double_bass(s: Stage) -> Drawing:
    return _standing(s.held(38, 61, -1.54), s, 1.25, 58, s.shine(0.42, 0.25, 0.13), 16)


# Woodwinds: everything turns about the mouth.


def _flute(s: Stage) -> Drawing:
    h = s.held(23, 22, 0.02 - 0.22 * s.stroke)
    tube = h.rod((-4, 0), (36, 0), 1.5)
    keys = tuple(h.rod((k, 0), (k + 0.6, 0), 0.55) for k in (12, 16, 20, 24, 28))
    return Drawing(
        [],
        [Part((tube,), s.shine(0.80, 0.86, 0.95)), Part(keys, (0.45, 0.50, 0.60), None)],
        h.at(34 - 24 * s.pose, 0.5),
        h.at(5, 1.5),
    )


def _clarinet(s: Stage) -> Drawing:
    h = s.held(30, 22, 1.36 - 0.22 * s.stroke)
    tube = (h.rod((0, 0), (33, 0), 1.2, 2.1), h.rod((31, 0), (38, 0), 2.1, 4.8, bell=True))
    rings = tuple(h.rod((k, -1.2), (k, 1.2), 0.6) for k in (6, 18, 31))
    return Drawing(
        [],
        [Part(tube, s.shine(0.10, 0.10, 0.12), (0.72, 0.74, 0.78), 0.7),
         Part(rings, (0.85, 0.87, 0.90), None)],
        h.at(32 - 23 * s.pose),
        h.at(5, 1.5),
    )  # fmt: skip


def _oboe(s: Stage) -> Drawing:
    h = s.held(29, 22, 0.85 - 0.22 * s.stroke)
    reed = h.rod((0, 0), (5, 0), 0.6)
    tube = (h.rod((5, 0), (33, 0), 1.2, 1.9), h.rod((34, 0), (36, 0), 2.8))
    keys = tuple(h.rod((k, -1.4), (k + 1.5, -1.4), 0.5) for k in (9, 15, 21, 27))
    return Drawing(
        [],
        [Part((reed,), (0.93, 0.85, 0.55)), Part(tube, s.shine(0.40, 0.10, 0.36)),
         Part(keys, (0.90, 0.78, 0.35), None)],
        h.at(32 - 23 * s.pose, 0.3),
        h.at(6, 1.5),
    )  # fmt: skip


def _bassoon(s: Stage) -> Drawing:
    h = s.held(37, 36, -1.05 - 0.16 * s.stroke)
    tube = (h.rod((-26, 0), (-8, 0), 3.2, 2.9), h.rod((-8, 0), (30, 0), 2.9, 2.0))
    ring, foot = h.rod((29, 0), (31.5, 0), 2.4), h.rod((-27, 0), (-25, 0), 3.2)
    crook = (*h.chain(0.6, (6, -2), (13, -6)), Rod(*h.at(13, -6), *s.at(31, 21), 0.6, 0.6))
    return Drawing(
        [],
        [Part(crook, (0.80, 0.84, 0.90)), Part(tube, s.shine(0.66, 0.09, 0.09)),
         Part((ring,), (0.96, 0.94, 0.86)), Part((foot,), (0.80, 0.84, 0.90))],
        h.at(-22 + 26 * s.pose, 0.4),
        h.at(14, 1.5),
    )  # fmt: skip


def _sax(s: Stage) -> Drawing:
    h = s.held(29, 22, 1.2 - 0.2 * s.stroke)
    neck = h.chain(0.9, (0, 0), (3, -3.5), (6, -2.5))
    body = h.rod((6, -2), (31, 0), 1.2, 2.6)
    bow = h.chain(2.9, (31, 0), (34.5, -3.5), (33, -8))
    bell = h.rod((34, -8), (18, -13.5), 2.9, 6.2, bell=True)
    mouth = h.rod((18, -18.5), (18, -8.5), 0.7)
    gold = s.shine(0.93, 0.58, 0.08)
    return Drawing(
        [],
        [Part((bell,), gold), Part((*neck, body, *bow), gold),
         Part((mouth,), s.shine(0.55, 0.30, 0.05), None)],
        h.at(30 - 23 * s.pose, 1),
        h.at(6, 1),
    )  # fmt: skip


# Brass.


def _horn(s: Stage) -> Drawing:
    h = s.held(27, 23, -0.22 * s.stroke)
    copper = s.shine(0.80, 0.42, 0.24)
    corner = [(15 + 10 * c, 17 + 10 * d) for c, d in _CIRCLE]
    coil = tuple(h.rod(a, b, 1.6) for a, b in pairwise(corner))
    inner = [(15 + 5.5 * c, 17 + 5.5 * d) for c, d in _CIRCLE]
    small = tuple(h.rod(a, b, 0.9) for a, b in pairwise(inner))
    pipe = h.chain(0.8, (0, 0), (8, 9.5))
    bell = h.rod((16, 25), (29, 34), 1.8, 9, bell=True)
    turn = 2.6 + 2.9 * s.pose
    arc = [np.rint(f(turn) * 2**20) / 2**20 for f in (np.cos, np.sin)]
    return Drawing(
        [],
        [Part(pipe, copper), Part(small, copper), Part((bell,), copper), Part(coil, copper)],
        h.at(15 + 10 * arc[0], 17 + 10 * arc[1]),
        h.at(22, 30),
    )


_CIRCLE = [
    (round(float(np.cos(a)), 4), round(float(np.sin(a)), 4)) for a in np.pi / 5 * np.arange(11)
]


def _trumpet(s: Stage) -> Drawing:
    h = s.held(22, 23, 0.05 - 0.22 * s.stroke)
    gold = s.shine(0.99, 0.82, 0.16)
    tube = h.rod((1, 0), (29, 0), 1.0)
    bell = h.rod((28, 0), (38, 0), 1.0, 6, bell=True)
    loop = h.chain(0.9, (9, 0), (9, 6.5), (27, 6.5), (27, 0))
    valves = tuple(h.rod((k, -2.5), (k, 8), 1.1) for k in (14.5, 18, 21.5))
    return Drawing(
        [],
        [Part(loop, gold), Part(valves, s.shine(0.75, 0.78, 0.84)), Part((tube, bell), gold)],
        h.at(31 - 22 * s.pose, -4),
        h.at(12, 7),
    )


def _trombone(s: Stage) -> Drawing:
    h = s.held(21, 22, 0.02 - 0.16 * s.stroke)
    brass = s.shine(0.80, 0.74, 0.46)
    back = h.chain(1.0, (14, 9), (-8, 9), (-10, 7), (-8, 4), (2, 4))
    bell = h.rod((13, 9), (30, 9), 1.0, 6.8, bell=True)
    end = 39 - 24 * s.pose
    rails = h.chain(0.8, (0, 0), (end, 0), (end, 4), (0, 4))
    return Drawing([], [Part((*back, bell), brass), Part(rails, brass)], h.at(end, 2), h.at(1, 2))


def _tuba(s: Stage) -> Drawing:
    h = s.held(35, 42, 0.12 * s.stroke)
    brass = s.shine(0.66, 0.62, 0.22)
    coil = h.chain(
        2.6, (-8, 12), (-8, -2), (-3, -8), (4, -8), (8, -2), (8, 12), (4, 17), (-4, 17), (-8, 12)
    )
    inner = h.chain(1.3, (-2.5, 10), (-2.5, -2), (2.5, -2), (2.5, 10), (-2.5, 10))
    bell = h.rod((8, 2), (12, -34), 2.6, 10, bell=True)
    rim = h.rod((2.2, -34.5), (21.8, -33.5), 0.9)
    pipe = Rod(*h.at(-6, -7), *s.at(25, 23), 0.9, 0.9)
    return Drawing(
        [],
        [Part((bell,), brass), Part((rim,), s.shine(0.86, 0.82, 0.42)), Part((pipe,), brass),
         Part(coil, brass), Part(inner, brass)],
        h.at(-9, 15 - 23 * s.pose),
        h.at(9, 12),
    )  # fmt: skip


_DRAWINGS: tuple[Callable[[Stage], Drawing], ...] = (
    _bassoon, _cello, _clarinet, _double_bass, _flute, _horn, _oboe, _sax, _trombone, _trumpet,
    _tuba, _viola, _violin,
)  # fmt: skip
PLAYERS = (
    Player(31, 16, -1),
    Player(26, 17, 1),
    Player(30, 16, 1),
    Player(25, 14, 1),
    Player(23, 17, 1),
    Player(27, 17, -1),
    Player(29, 16, 1),
    Player(29, 16, 1),
    Player(20, 16, 1),
    Player(21, 17, 1),
    Player(24, 17, -1),
    Player(22, 18, 1),
    Player(23, 18, 1),
)
"""In the order of the classes."""

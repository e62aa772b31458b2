"""How the digits of M3SO move: straight lines, walls, and a block to bounce off.

All clips of a batch move at once, in a loop over frames. Coordinates are (x, y) canvas pixels, y
downwards, of top-left corners. Positions and velocities are whole multiples of 1/GRID px, so that
float64 adds them without rounding and a clip comes out the same on any machine.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64

GRID = 2.0**16
"""Grid points per pixel."""
RELEASED_MARGIN = 2
"""Pixels that the released generator of Sound2Sight lets a digit leave the canvas by."""

_HEAD = 5  # Random numbers of a digit before its first bounce: image, x, y, speed, direction.

# Directions that point inward, by the inward signs of x and y: first angle and span in quarter
# turns (0 is right, 1 is down).
_ARCS = {
    (0, 0): (0, 4),
    (1, 0): (-1, 2),
    (0, 1): (0, 2),
    (-1, 0): (1, 2),
    (0, -1): (2, 2),
    (1, 1): (0, 1),
    (-1, 1): (1, 1),
    (-1, -1): (2, 1),
    (1, -1): (3, 1),
}
_ARC_TABLE = np.array([[_ARCS[x, y] for y in (-1, 0, 1)] for x in (-1, 0, 1)])


@dataclass(frozen=True)
class Arena:
    """Where and how digits move; the fields are those of `M3SO`."""

    canvas: int
    digit: int
    num_digits: int
    speeds: tuple[int, int]
    bounce: Literal["random", "specular"]
    block_side: int
    block_start: int | None
    """Index, from 0, of the first frame with the block; None without one."""

    @property
    def room(self) -> int:
        """Largest coordinate of a digit inside the canvas, px."""
        return self.canvas - self.digit

    def has_block(self, t: int) -> bool:
        """Whether the block is there at frame t."""
        return self.block_start is not None and t >= self.block_start


class World(NamedTuple):
    """What happens to m digits in b clips over t transitions, that is t + 1 states."""

    images: Int64[np.ndarray, "b m"]
    """Indices of the digits in their pool."""
    positions: Float64[np.ndarray, "b t1 m 2"]
    """Canvas px."""
    velocities: Float64[np.ndarray, "b t1 m 2"]
    """Canvas px per frame, of the motion that starts at a state, before it meets anything."""
    walls: Bool[np.ndarray, "b t m"]
    """Whether transition t meets a wall."""
    blocks: Bool[np.ndarray, "b t m"]
    """Whether transition t meets the block."""
    corner: Float64[np.ndarray, "b 2"]
    """The block's top-left corner, canvas px; 0 without a block."""
    placed: Bool[np.ndarray, " b"]
    """Whether the block found room; where not, the clip is void."""


def uniforms(
    seed: int, split: int, indices: Int64[np.ndarray, " b"], attempt: int, numbers: int
) -> Float64[np.ndarray, "b i"]:
    """Random numbers for clips, each from a stream of its own.

    Args:
        seed: root of all streams.
        split: number of the split.
        indices: numbers of the clips in the split.
        attempt: how often the clip was drawn before.
        numbers: how many numbers i per clip.

    Returns:
        Uniform in [0, 1), shape (b, i); fewer numbers are a prefix of more.
    """
    raw = np.empty((len(indices), numbers), dtype=np.uint64)
    for row, index in zip(raw, indices.tolist(), strict=True):
        words = np.random.SeedSequence(seed, spawn_key=(split, index, attempt))
        row[:] = np.random.PCG64(words).random_raw(numbers)
    return (raw >> np.uint64(11)) * 2.0**-53


def numbers_needed(arena: Arena, frames: int) -> int:
    """Random numbers that `simulate` takes per clip: more frames only append to them."""
    return 1 + (_HEAD + frames) * arena.num_digits


def simulate(
    numbers: Float64[np.ndarray, "b i"], arena: Arena, frames: int, pool_size: int
) -> World:
    """Move the digits of b clips through `frames` transitions.

    Args:
        numbers: uniform in [0, 1), `numbers_needed(arena, frames)` per clip: the block's place;
            image, x, y, speed and direction of every digit; a direction per transition and digit.
        arena: the rules.
        frames: transitions t.
        pool_size: how many digit images there are to choose from.
    """
    b, m = len(numbers), arena.num_digits
    heads = numbers[:, 1 : 1 + _HEAD * m].reshape(b, m, _HEAD)
    turns = numbers[:, 1 + _HEAD * m :].reshape(b, frames, m)
    slowest, fastest = arena.speeds
    speed = slowest + np.floor(heads[..., 3] * (fastest - slowest + 1))
    at = np.rint(heads[..., 1:3] * arena.room * GRID) / GRID
    velocity = _velocity(speed, heads[..., 4], np.zeros((b, m, 2), dtype=np.int64))

    # Time comes first while we simulate.
    positions, velocities = np.empty((2, frames + 1, b, m, 2))
    walls, blocks = np.zeros((2, frames, b, m), dtype=bool)
    corner, placed = np.zeros((b, 2)), np.ones(b, dtype=bool)
    positions[0], velocities[0] = at, velocity
    for t in range(frames):
        if t == arena.block_start:
            corner, placed = _place(at, numbers[:, 0], arena)
        to, inward = _meet_walls(at, velocity, arena)
        walls[t] = inward.any(-1)
        if arena.has_block(t):
            blocks[t] = _meet_block(at, to, inward, corner, arena)
        hit = walls[t] | blocks[t]
        if hit.any():
            velocity = velocity.copy()
            if arena.bounce == "random":
                velocity[hit] = _velocity(speed[hit], turns[:, t][hit], inward[hit])
            else:
                reflected = np.abs(velocity[hit]) * inward[hit]
                velocity[hit] = np.where(inward[hit] == 0, velocity[hit], reflected)
        positions[t + 1], velocities[t + 1] = at, velocity = to, velocity

    return World(
        (heads[..., 0] * pool_size).astype(np.int64),
        np.ascontiguousarray(positions.swapaxes(0, 1)),
        np.ascontiguousarray(velocities.swapaxes(0, 1)),
        np.ascontiguousarray(walls.swapaxes(0, 1)),
        np.ascontiguousarray(blocks.swapaxes(0, 1)),
        corner,
        placed,
    )


def _velocity(
    speed: Float64[np.ndarray, "*i"],
    uniform: Float64[np.ndarray, "*i"],
    inward: Int64[np.ndarray, "*i 2"],
) -> Float64[np.ndarray, "*i 2"]:
    """Velocities of that speed, uniform over the directions that point inward."""
    first, span = np.moveaxis(_ARC_TABLE[inward[..., 0] + 1, inward[..., 1] + 1], -1, 0)
    angle = np.pi / 2 * (first + span * uniform)
    exact = speed[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.rint(exact * GRID) / GRID


def _meet_walls(
    at: Float64[np.ndarray, "b m 2"], velocity: Float64[np.ndarray, "b m 2"], arena: Arena
) -> tuple[Float64[np.ndarray, "b m 2"], Int64[np.ndarray, "b m 2"]]:
    """Where the digits get to, and the inward signs (-1, 0, 1) of the walls they meet.

    "random": stopped at the wall. "specular": turned round before they are 2 px outside
    (released), so that a coordinate is in [-2, room + 2].
    """
    margin = RELEASED_MARGIN if arena.bounce == "specular" else 0
    to = at + velocity
    inward = (to < -margin).astype(np.int64) - (to > arena.room + margin)
    if arena.bounce == "random":
        return np.clip(to, 0, arena.room), inward
    return at + np.where(inward == 0, velocity, -velocity), inward


def _place(
    at: Float64[np.ndarray, "b m 2"], uniform: Float64[np.ndarray, " b"], arena: Arena
) -> tuple[Float64[np.ndarray, "b 2"], Bool[np.ndarray, " b"]]:
    """Put the block at a whole position, uniform over those that overlap no digit.

    Its corner lies in [canvas // 4, canvas - side] on both axes (released).

    Returns:
        Corners, canvas px, shape (b, 2), and whether there was room, shape (b,).
    """
    choices = np.arange(arena.canvas // 4, arena.canvas - arena.block_side + 1)
    covers = (at[..., None] < choices + arena.block_side) & (at[..., None] + arena.digit > choices)
    taken = (covers[:, :, 0, None, :] & covers[:, :, 1, :, None]).any(1)  # (b, y, x)
    free = ~taken.reshape(len(at), -1)
    count = free.sum(-1)
    chosen = np.floor(uniform * count).astype(np.int64)
    place = (free.cumsum(-1, dtype=np.int32) > chosen[:, None]).argmax(-1)
    y, x = np.divmod(place, len(choices))
    return np.stack([choices[x], choices[y]], axis=-1).astype(np.float64), count > 0


def _meet_block(
    at: Float64[np.ndarray, "b m 2"],
    to: Float64[np.ndarray, "b m 2"],
    inward: Int64[np.ndarray, "b m 2"],
    corner: Float64[np.ndarray, "b 2"],
    arena: Arena,
) -> Bool[np.ndarray, "b m"]:
    """Stop digits that run into the block on their way from `at` to `to`.

    Shrink the digit to a point and grow the block by the digit: the way must not enter the box.
    The face that is met is the one with the smallest penetration, measured along the motion, that
    is the side of the slab entered last. `to` is moved onto it and `inward` gets the sign of its
    outward normal, both in place. The quotients compared are of integers below 2**27, so their
    order is exact in float64.

    Returns:
        Which digits met the block, shape (b, m).
    """
    low = np.broadcast_to(corner[:, None] - arena.digit, at.shape)
    high = np.broadcast_to(corner[:, None] + arena.block_side, at.shape)
    near = ((np.minimum(at, to) < high) & (np.maximum(at, to) > low)).all(-1)
    if not near.any():
        return near

    # When, as a share of the way, the point enters and leaves each slab. It starts outside of the
    # box and comes into both slabs, so it meets the box if it enters the one before it leaves the
    # other.
    p, q, low, high = at[near], to[near], low[near], high[near]
    way = q - p
    with np.errstate(divide="ignore", invalid="ignore"):
        enters = np.where(way > 0, low - p, high - p) / way
        leaves = np.where(way > 0, high - p, low - p) / way
    enters = np.where(way == 0, -np.inf, enters)
    leaves = np.where(way == 0, np.inf, leaves)
    meets = enters.max(-1) < leaves.min(-1)

    # Stop the point at the side of the slab it entered last.
    axis = np.arange(2) == enters.argmax(-1)[:, None]
    stopped = axis & meets[:, None]
    to[near] = np.where(stopped, np.where(way > 0, low, high), q)
    inward[near] = np.where(stopped, -np.sign(way).astype(np.int64), inward[near])
    hit = np.zeros_like(near)
    hit[near] = meets
    return hit

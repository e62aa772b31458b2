"""What an exact observer makes of a picture of `Orchestra`: class, pose and strokes, by synthesis.

Nothing is trained. Every instrument is painted at every shift and at steps of its stroke, once on
black and once with everything else white, which tells what belongs to the instrument. The class
whose painting is nearest where it covers the picture wins. The gloved hand is then looked for along
the way it can take. Pictures of another size than 64 px are brought to it first.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from soundsight.data.orchestra_instruments import Stage, draw
from soundsight.data.orchestra_notes import CLASSES, LOWS, SPANS, STROKE_S, Motion
from soundsight.data.orchestra_picture import GLOVE, GLOVE_EDGE, GLOVE_RADIUS, Looks, paint
from soundsight.media.clip import ClipSpec

SIDE = 64
"""Side, px, of the pictures that are compared."""
GLANCES = 4
"""Frames of a clip, at most, from which class and shift are told."""
_BORDER = 2  # Largest shift, px.
BLURS, SOFT = (1, 3, 5), (0.685, 0.83)
"""Sides, px, of the squares over which paintings are averaged so that they can be compared with
soft pictures, and the softness of a picture from which the second and the third are used."""
LEVELS = 17
"""Steps of the stroke from -1 to 1 that are painted; between them, a parabola."""
AGREEMENT = 0.15
"""Largest difference of colour, root mean square over RGB in [0, 1], that is taken as the same."""
OWN_SPREAD, OTHER_SPREAD, OTHER_MEAN = 0.16, 0.13, 0.5
"""Standard deviation of the colour of an instrument, and of everything else, and mean of that."""
SOFTNESS = 40.0
"""Difference of log-likelihood by which a class is e times less probable: pixels are not
independent."""
MOVE_S, LEAST_MOVE = 0.1, 0.2
"""Least change of the stroke within that time, s, that counts as one."""
APART_S = 0.15
"""Least time between two strokes, s."""
_GRID, _PATCH = 4, 11  # Places of a hand per pixel, and side of its patch, px.


@dataclass(frozen=True)
class Seen:
    """What is seen in b clips of t frames."""

    class_probabilities: Float64[np.ndarray, "b 13"]
    """Rows sum to 1."""
    pose: Float64[np.ndarray, "b t"]
    """Place of the gloved hand in each frame, 0 to 1."""
    midi: Float64[np.ndarray, "b t"]
    """The pitch it shows: 69 is 440 Hz."""
    stroke: Float64[np.ndarray, "b t"]
    """Place of the bow, or lift of the bell, in each frame, -1 to 1."""
    strokes: list[np.ndarray]
    """Of each clip, when strokes begin, s, ascending, to about half a frame."""
    confidence: Float64[np.ndarray, " b"]
    """Share of the instrument's pixels that have its colour; mostly above 0.8 if clean."""

    @property
    def classes(self) -> np.ndarray:
        """The most probable class of each clip."""
        return self.class_probabilities.argmax(1)


class _Bank(NamedTuple):
    """Paintings of the instruments: i = class and stroke; p = pixels.

    A pixel is taken as normal about what is painted there. It varies little where the instrument
    covers it, and as walls and clothes do where it does not.
    """

    precision: Tensor
    """One over the variance, (i, p)."""
    pull: Tensor
    """Expected colour over the variance, (i, c, p)."""
    constant: Tensor
    """What does not depend on the picture, (i,)."""


_SHIFTS = [(dx, dy) for dy in range(-_BORDER, _BORDER + 1) for dx in range(-_BORDER, _BORDER + 1)]


def look(
    video: Float32[Tensor, "b t c h w"],
    spec: ClipSpec,
    *,
    known: Int64[np.ndarray, " b"] | None = None,
) -> Seen:
    """Read class, pose, pitch and strokes from pictures alone.

    Args:
        video: frames in [0, 1], shape (b, t, c, h, w), of any side and length; RGB or grey.
        spec: only its frame rate counts.
        known: classes along whose instruments the hand and the stroke are looked for; None: the
            most probable.

    Returns:
        See `Seen`. Reference values on clean pictures are in docs/data/orchestra.md.

    Raises:
        ValueError: if a value is not finite.
    """
    if not torch.isfinite(video).all():
        raise ValueError("video holds values that are not finite; every value must be a number")
    batches = list(video.detach().cpu().clamp(0, 1).split(64))
    along = [None] * len(batches) if known is None else torch.from_numpy(known).split(64)
    parts = [_look(*batch, spec) for batch in zip(batches, along, strict=True)]
    return Seen(
        class_probabilities=np.concatenate([part.class_probabilities for part in parts]),
        pose=np.concatenate([part.pose for part in parts]),
        midi=np.concatenate([part.midi for part in parts]),
        stroke=np.concatenate([part.stroke for part in parts]),
        strokes=[times for part in parts for times in part.strokes],
        confidence=np.concatenate([part.confidence for part in parts]),
    )


def _look(
    video: Float32[Tensor, "b t c h w"], known: Int64[Tensor, " b"] | None, spec: ClipSpec
) -> Seen:
    b, t, channels = video.shape[:3]
    frames = _resize(video.flatten(0, 1), SIDE).unflatten(0, (b, t))
    banks = [_bank(channels, blur) for blur in BLURS]

    # A clip has one class and one shift: look at a few of its frames.
    glances = frames[:, np.unique(np.linspace(0, t - 1, GLANCES).round().astype(np.int64))]
    blur = np.digitize(_softness(glances), SOFT)
    best = torch.empty(b, len(CLASSES), len(_SHIFTS))
    for level in np.unique(blur):
        best[blur == level] = _best(glances[blur == level], banks[level])
    by_class, shift = best.max(-1)
    probabilities = torch.softmax(by_class.double() / SOFTNESS, dim=-1).numpy()
    classes = probabilities.argmax(1) if known is None else known.numpy()
    shifts = np.array(_SHIFTS)[shift.numpy()[np.arange(b), classes]]

    pose, stroke, agreement = np.empty((b, t)), np.empty((b, t)), np.empty(b)
    for row, (instrument, (dx, dy)) in enumerate(
        zip(classes.tolist(), shifts.tolist(), strict=True)
    ):
        some = slice(LEVELS * instrument, LEVELS * (instrument + 1))
        sharp, own = (_Bank(*(part[some] for part in banks[k])) for k in (0, blur[row]))
        centered = _shifted(frames[row : row + 1], dx, dy)
        score = _scores(centered, own)[0, :, 0]
        stroke[row] = _between(-score.numpy())
        agreement[row] = _agreement(centered[0], sharp, score.argmax(-1))
        pose[row] = _pose(centered[0], instrument, stroke[row], BLURS[blur[row]])
    return Seen(
        class_probabilities=probabilities,
        pose=pose,
        midi=LOWS[classes, None] + SPANS[classes, None] * pose,
        stroke=stroke,
        strokes=[_begins(row, float(spec.fps)) for row in stroke],
        confidence=agreement,
    )


def _resize(frames: Float32[Tensor, "b c h w"], side: int) -> Float32[Tensor, "b c s s"]:
    """Square frames: averaged where that makes them smaller, bilinear where larger."""
    if frames.shape[-2:] == (side, side):
        return frames
    if min(frames.shape[-2:]) >= side:
        return F.adaptive_avg_pool2d(frames, side)
    return F.interpolate(frames, size=(side, side), mode="bilinear", align_corners=False)


# Class, shift and stroke.


def _shifted(
    frames: Float32[Tensor, "b t c s s"], dx: int, dy: int
) -> Float32[Tensor, "b t c s s"]:
    """Frames whose player, `dx` right of and `dy` below its place, is brought back to it."""
    return torch.roll(frames, (-dy, -dx), (-2, -1))


def _best(frames: Float32[Tensor, "b t c s s"], bank: _Bank) -> Float32[Tensor, "b i j"]:
    """Log-likelihood of every class at every shift, with the best stroke, mean over frames."""
    scores = torch.stack([_scores(_shifted(frames, *shift), bank) for shift in _SHIFTS], -1)
    return scores.amax(3).mean(1)


def _scores(frames: Float32[Tensor, "b t c s s"], bank: _Bank) -> Float32[Tensor, "b t i m"]:
    """Log-likelihood of every painting: by class and stroke."""
    flat = frames.flatten(3)
    score = flat.flatten(2) @ bank.pull.flatten(1).T
    score -= 0.5 * (flat.square().sum(2) @ bank.precision.T)
    score += bank.constant
    return score.unflatten(-1, (-1, LEVELS))


def _agreement(
    frames: Float32[Tensor, "t c s s"], bank: _Bank, painting: Int64[Tensor, " t"]
) -> float:
    """Of the pixels that the paintings cover for good, the share that has their colour."""
    variance = 1 / bank.precision[painting]
    covered = variance < 1.05 * OWN_SPREAD**2
    expected = bank.pull[painting] * variance[:, None]
    agrees = (frames.flatten(2) - expected).square().mean(1) < AGREEMENT**2
    return float((agrees & covered).sum() / covered.sum())


@lru_cache(maxsize=6)
def _bank(channels: int, blur: int) -> _Bank:
    """Paint every instrument at every stroke, and blur it."""
    black, white = (
        _blurred(torch.cat([_painted(i, channels, shade) for i in range(len(CLASSES))]), blur)
        for shade in (0.0, 1.0)
    )
    rest = (white - black).mean(1).clamp(0, 1).flatten(1)
    variance = OWN_SPREAD**2 + (rest * OTHER_SPREAD) ** 2
    expected = black.flatten(2) + rest[:, None] * OTHER_MEAN
    pull = expected / variance[:, None]
    constant = -0.5 * ((pull * expected).sum((1, 2)) + channels * variance.log().sum(1))
    return _Bank(1 / variance, pull, constant)


def _softness(frames: Float32[Tensor, "b t c s s"]) -> Float64[np.ndarray, " b"]:
    """How little of the detail of 9 px is left at 3 px, 0 to 1: sharp pictures have 0.4 to 0.65."""
    flat = frames.flatten(0, 1)
    fine, coarse = ((flat - _blurred(flat, k)).abs().mean((1, 2, 3)) for k in (3, 9))
    share = fine.unflatten(0, frames.shape[:2]).mean(1) / coarse.unflatten(
        0, frames.shape[:2]
    ).mean(1).clamp(min=1e-9)
    return 1 - share.double().numpy()


def _blurred(pictures: Float32[Tensor, "b c h w"], blur: int) -> Float32[Tensor, "b c h w"]:
    """Means over squares of `blur` px."""
    padded = F.pad(pictures, (blur // 2,) * 4, mode="replicate")
    return F.avg_pool2d(padded, blur, stride=1)


def _painted(instrument: int, channels: int, shade: float) -> Float32[Tensor, "i c s s"]:
    """One instrument at every stroke, all else of one shade."""
    plain = np.full((LEVELS, 3), shade)
    looks = Looks(*(plain,) * 7, gloss=np.full(LEVELS, 0.975), shift=np.zeros((LEVELS, 2)))
    stroke, middle = np.linspace(-1, 1, LEVELS)[:, None], np.full((LEVELS, 1), 0.5)
    motion = Motion(middle, stroke, middle)
    pictures = paint(instrument, looks, motion, SIDE, channels, glove=False, arms=False)
    return torch.from_numpy(pictures[:, 0])


def _between(errors: Float32[np.ndarray, "t m"]) -> Float64[np.ndarray, " t"]:
    """Where, from -1 to 1, a parabola through the least error and its neighbours is least."""
    at = np.clip(errors.argmin(-1), 1, LEVELS - 2)[..., None]
    a, b, c = (
        np.take_along_axis(errors, at + k, -1)[..., 0].astype(np.float64) for k in (-1, 0, 1)
    )
    offset = 0.5 * (a - c) / np.maximum(a - 2 * b + c, 1e-9)
    return np.clip((at[..., 0] + np.clip(offset, -1, 1)) * 2 / (LEVELS - 1) - 1, -1, 1)


# Pose.


def _pose(
    frames: Float32[Tensor, "t c s s"],
    instrument: int,
    stroke: Float64[np.ndarray, " t"],
    blur: int,
) -> Float64[np.ndarray, " t"]:
    """Where on its way the gloved hand is nearest to the picture."""
    maps, t = _hands(frames, blur).numpy(), len(frames)
    places = np.linspace(0, 1, 4 * SPANS[instrument] + 1)
    zero = np.zeros((t, 1))
    stage = Stage(np.tile(places, (t, 1)), stroke[:, None], zero, zero, np.ones((t, 1, 1)))
    column, line = (
        np.clip(np.rint((v - 0.5) * _GRID).astype(np.int64), 0, maps.shape[-1] - 1)
        for v in np.broadcast_arrays(*draw(instrument, stage).glove)
    )
    return places[maps[np.arange(t)[:, None], line, column].argmin(1)]


def _hands(frames: Float32[Tensor, "b c s s"], blur: int) -> Float32[Tensor, "b i j"]:
    """Error of colour of a gloved hand at every quarter of a pixel; entry 0 is a pixel's middle."""
    channels = frames.shape[1]
    weight, colour = _gloves(channels, blur)
    padded = F.pad(frames, (_PATCH // 2,) * 4, mode="replicate")
    error = F.conv2d(padded.square().sum(1, keepdim=True), weight[:, None])
    error -= 2 * F.conv2d(padded, colour)
    own = colour / weight[:, None].clamp(min=1e-3)
    error += (weight[:, None] * own.square()).sum((1, 2, 3))[:, None, None]
    return F.pixel_shuffle(error, _GRID)[:, 0]


@lru_cache(maxsize=6)
def _gloves(
    channels: int, blur: int
) -> tuple[Float32[Tensor, "i p p"], Float32[Tensor, "i c p p"]]:
    """Weight and weighted colour of a glove's patch, shifted by quarters of a pixel."""
    middle = _PATCH // 2
    step = torch.arange(_GRID) / _GRID
    line, column = torch.meshgrid(step, step, indexing="ij")
    place = torch.arange(_PATCH, dtype=torch.float32) - middle
    dy = place[:, None] - line.flatten()[:, None, None]
    dx = place[None, :] - column.flatten()[:, None, None]
    distance = (dx.square() + dy.square()).sqrt() - GLOVE_RADIUS
    wide, inside = (0.5 - distance + 0.8).clamp(0, 1), (0.5 - distance).clamp(0, 1)
    colour = torch.stack(
        [i * inside + e * (1 - inside) * wide for i, e in zip(GLOVE, GLOVE_EDGE, strict=True)], 1
    )
    if channels == 1:
        colour = (colour * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    return _blurred(wide[:, None], blur)[:, 0], _blurred(colour, blur)


# Strokes.


def _begins(stroke: Float64[np.ndarray, " t"], fps: float) -> Float64[np.ndarray, " i"]:
    """When strokes begin, s: where the change over the next `MOVE_S` is greatest.

    A stroke starts fast and eases out by a known law. How far it has got at the first frame that
    shows a good part of it tells when it began.
    """
    ahead = max(1, round(MOVE_S * fps))
    after = np.append(stroke, np.full(ahead, stroke[-1]))
    change = np.abs(after[ahead:] - stroke)[:-1]
    found: list[int] = []
    for k in np.argsort(-change, kind="stable"):
        if change[k] < LEAST_MOVE:
            break
        if all(abs(k - other) >= APART_S * fps for other in found):
            found.append(int(k))
    return np.sort(np.array([_begin(stroke, k, fps) for k in found], dtype=np.float64))


def _begin(stroke: Float64[np.ndarray, " t"], k: int, fps: float) -> float:
    """When the stroke began that moves after frame k, s."""
    first = max(0, k - round(0.04 * fps))
    last = min(len(stroke) - 1, k + max(1, round(STROKE_S * fps)))
    share = (stroke[first : last + 1] - stroke[first]) / (stroke[last] - stroke[first] or 1.0)
    at = int(np.argmax(share >= 0.3))
    done = 1 - np.sqrt(1 - np.clip(share[at], 0, 1))
    return float(max(0.0, (first + at + 0.5) / fps - STROKE_S * done))

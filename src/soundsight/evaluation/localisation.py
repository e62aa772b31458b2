"""Where is the bright square block, and when does it appear?

The block of known side s is located as the s x s box with the highest mean, no threshold, no
background subtraction. A box is four numbers (x0, y0, x1, y1) in pixels, half open: the block
covers columns [x0, x1) and rows [y0, y1).

Source: the Sound2Sight paper (Chatterjee and Cherian, ECCV 2020, Table 3) reports the IoU of the
block without saying how it was found; this is the simplest rule that needs no training. Give the
score of `centre_box` beside every other: a large block in a small frame overlaps any box.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from soundsight.evaluation.image import box_mean

FOUND = 0.25
"""Least mean brightness of the best box for a block to count as found, in [0, 1]."""
APPEARED = 0.5
"""Mean brightness of the best box above which the block counts as visible, in [0, 1]."""


class Located(NamedTuple):
    """The brightest box of each frame."""

    box: Float[Tensor, "b 4"]
    """(x0, y0, x1, y1), pixels."""
    brightness: Float[Tensor, " b"]
    """Mean pixel value inside it."""


def locate_block(frames: Float[Tensor, "b h w"], side: int) -> Located:
    """The side x side box with the highest mean, in each frame.

    Args:
        frames: grey frames in [0, 1], shape (b, h, w).
        side: side of the block, pixels.

    Returns:
        Box and mean brightness of each frame; of equal boxes the topmost, then leftmost.

    Raises:
        ValueError: if the block is larger than the frame.
    """
    means = box_mean(frames.double(), side)
    # Equal boxes differ by rounding; without this the winner among them would be arbitrary.
    brightness, index = means.mul(2**40).round().div(2**40).flatten(1).max(1)
    top = torch.div(index, means.shape[-1], rounding_mode="floor")
    left = index % means.shape[-1]
    box = torch.stack([left, top, left + side, top + side], dim=1).double()
    return Located(box, brightness)


def intersection_over_union(
    a: Float[Tensor, "#b 4"], b: Float[Tensor, "#b 4"]
) -> Float[Tensor, " b"]:
    """Area of overlap divided by area of union of two boxes.

    Args:
        a: boxes (x0, y0, x1, y1), shape (b, 4).
        b: the other boxes; either may be a single one.

    Returns:
        Shape (b,).

    Range/direction: 0 to 1, higher is better.
    Reference value: equal boxes score 1; two unit squares that share half their area 1/3.
    """
    low = torch.maximum(a[:, :2], b[:, :2])
    high = torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (high - low).clamp(min=0).prod(1)
    areas = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return overlap / (areas - overlap)


def block_iou(
    frames: Float[Tensor, "b h w"], boxes: Float[Tensor, "b 4"], side: int
) -> Float[Tensor, " b"]:
    """IoU of the block found in each frame with where it is; 0 if none brighter than `FOUND`.

    Args:
        frames: grey frames in [0, 1], shape (b, h, w).
        boxes: true boxes (x0, y0, x1, y1), pixels, shape (b, 4).
        side: side of the block, pixels.

    Returns:
        Shape (b,), in [0, 1].

    Raises:
        ValueError: if the block is larger than the frame.
    """
    found = locate_block(frames, side)
    overlap = intersection_over_union(found.box, boxes.to(found.box))
    return torch.where(found.brightness < FOUND, 0.0, overlap)


def centre_box(boxes: Float[Tensor, "b 4"]) -> Float[Tensor, "1 4"]:
    """The box in the middle of all true ones: the constant guess of who knows only the data set.

    Args:
        boxes: true boxes (x0, y0, x1, y1), pixels, shape (b, 4).

    Returns:
        One box, shape (1, 4).
    """
    return boxes.mean(0, keepdim=True)


def time_to_appear(video: Float[Tensor, "b t h w"], side: int) -> Int64[Tensor, " b"]:
    """Index of the first frame in which the block is visible.

    Args:
        video: grey frames in [0, 1], shape (b, t, h, w).
        side: side of the block, pixels.

    Returns:
        0-based frame whose best box is first brighter than `APPEARED`; t if there is none.

    Raises:
        ValueError: if the block is larger than the frame.
    """
    batch, frames = video.shape[:2]
    brightness = locate_block(video.flatten(0, 1), side).brightness.reshape(batch, frames)
    visible = brightness > APPEARED
    first = visible.int().argmax(1)
    return torch.where(visible.any(1), first, frames)

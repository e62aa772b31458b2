"""From a decoded picture to the square of it that is used, upright, at the size that is wanted.

The square is cut out first, without copying, and only then scaled: what lies beside it costs
nothing. It is placed to a pixel of the stored picture (or, where colour is stored more coarsely
than brightness, to less than `MAX_SHIFT` of a pixel of the result).
"""

import math
from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8

from soundsight.media.limits import MediaError

MAX_ASPECT = 64
"""Pictures more oblong than this are refused: a square crop of them would be mostly enlargement."""
MAX_SHIFT = 1 / 3
"""A square may be moved this much to where cutting is cheap, pixels of the result."""
GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of R, G, B. Source: ITU-R BT.601, section 2.5.1."""
AVERAGING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Every output pixel is the mean of what it covers (bilinear where the picture is enlarged)."""


class Box(NamedTuple):
    """Part of a picture, pixels of the picture as it is shown: upright, its pixels square.

    The square cut out for it is the smallest around the box's centre that contains the box, at most
    as wide as the picture's shorter side, and moved to lie inside the picture.
    """

    x0: float
    """Left edge; 0 is the left edge of the picture."""
    y0: float
    """Top edge; 0 is the top edge of the picture."""
    x1: float
    """Right edge."""
    y1: float
    """Bottom edge."""


class Square(NamedTuple):
    """A square part of a shown picture, pixels."""

    x: float
    y: float
    side: float


class _View(NamedTuple):
    """How pictures of one kind become squares."""

    matrix: tuple[int, int, int, int]
    is_converted: bool
    """Whether colour is first made as fine as brightness."""
    crop: av.filter.Graph | None
    """What cuts the square out; None: the picture is the square."""


class SquareCutter:
    """Cuts the same square out of every picture of a file and scales it by averaging."""

    def __init__(
        self, name: str, size: int, channels: int, *, pixel_aspect: Fraction | None, box: Box | None
    ) -> None:
        """Prepare for the pictures of one file.

        Args:
            name: of the file, for errors.
            size: height and width to make, pixels.
            channels: 1 (grey) or 3 (RGB).
            pixel_aspect: width of a stored pixel over its height; None or 0 means 1.
            box: what to cut out; None: the centre square.

        Raises:
            ValueError: if the box has no area or is not finite.
        """
        if box and not (all(map(math.isfinite, box)) and box.x0 < box.x1 and box.y0 < box.y1):
            raise ValueError(f"box={tuple(box)} must be finite, with x0 < x1 and y0 < y1")
        self.name = name
        self._size = size
        self._channels = channels
        self._pixel_aspect = float(pixel_aspect or 1)
        self._box = box
        self._views: dict[tuple[object, ...], _View] = {}
        # One for every step: a fresh one per picture costs 2-6 times as much.
        self._convert, self._scale, self._pack = (VideoReformatter() for _ in range(3))

    def cut(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w c"]:
        """The square of a picture as it is meant to be seen, 0 ... 255.

        Raises:
            MediaError: if the picture is too oblong, or the box lies outside of it.
        """
        side_data = frame.side_data.get("DISPLAYMATRIX")
        turn = None if side_data is None else bytes(side_data)  # type: ignore[call-overload]
        kind = (frame.width, frame.height, frame.format.name, turn)
        view = self._views.get(kind)
        if view is None:
            view = self._views[kind] = self._view(frame)
        if view.is_converted:
            frame = self._convert.reformat(frame, format="gbrp", interpolation=AVERAGING, threads=1)
        if view.crop is not None:
            view.crop.vpush(frame)
            frame = view.crop.vpull()
        # FFmpeg averages into planes twice as fast as into packed pixels, to the same values.
        planes = self._scale.reformat(
            frame, self._size, self._size, "gbrp", interpolation=AVERAGING, threads=1
        )
        image = _upright(self._pack.reformat(planes, format="rgb24", threads=1), view.matrix)
        if self._channels == 1:
            image = (image @ np.array(GREY_WEIGHTS, np.float32) + 0.5).astype(np.uint8)[..., None]
        return np.ascontiguousarray(image)

    def _view(self, frame: av.VideoFrame) -> _View:
        """Plan for pictures like this one."""
        matrix = display_matrix(frame)
        x, y, width, height = self._region(frame, matrix)
        if (width, height) == (frame.width, frame.height):
            return _View(matrix, False, None)
        # Colour that is stored more coarsely than brightness can only be cut at its own pixels.
        stored = frame.format
        step_x, step_y = 8 // stored.chroma_width(8), 8 // stored.chroma_height(8)
        is_simple = stored.is_planar or (step_x, step_y) == (1, 1)
        near_x, near_y = (
            min(round(at / step) * step, (full - cut) // step * step)
            for at, step, full, cut in (
                (x, step_x, frame.width, width),
                (y, step_y, frame.height, height),
            )
        )
        shift = max(abs(near_x - x) / width, abs(near_y - y) / height) * self._size
        is_converted = not is_simple or stored.is_bit_stream or shift > MAX_SHIFT
        if not is_converted:
            x, y = near_x, near_y
        kind = av.VideoFormat("gbrp") if is_converted else stored
        crop = _crop_graph(frame.width, frame.height, kind, (x, y, width, height))
        return _View(matrix, is_converted, crop)

    def _region(
        self, frame: av.VideoFrame, matrix: tuple[int, int, int, int]
    ) -> tuple[int, int, int, int]:
        """Left, top, width and height of the square in the stored picture, pixels."""
        stored_width, stored_height = frame.width * self._pixel_aspect, float(frame.height)
        side = min(stored_width, stored_height)
        if max(stored_width, stored_height) > MAX_ASPECT * side:
            raise MediaError(
                f"{self.name}: picture shown as {stored_width:.0f}x{stored_height:.0f}; "
                f"sides may differ {MAX_ASPECT} times at most"
            )
        a, b, c, d = matrix
        shown = (stored_height, stored_width) if b else (stored_width, stored_height)
        x, y, side = self._square(*shown)
        across, down = (c, b) if b else (a, d)  # Directions of the shown axes in the stored ones.
        x = shown[0] - x - side if across < 0 else x
        y = shown[1] - y - side if down < 0 else y
        x, y = (y, x) if b else (x, y)
        width = min(frame.width, max(1, round(side / self._pixel_aspect)))
        height = min(frame.height, max(1, round(side)))
        left = min(round(x / self._pixel_aspect), frame.width - width)
        return left, min(round(y), frame.height - height), width, height

    def _square(self, width: float, height: float) -> Square:
        """The square to cut out of a shown picture."""
        shorter = min(width, height)
        if self._box is None:
            return Square((width - shorter) / 2, (height - shorter) / 2, shorter)
        x0, y0, x1, y1 = self._box
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        if not (0 <= middle_x <= width and 0 <= middle_y <= height):
            raise MediaError(
                f"{self.name}: box {tuple(self._box)} lies outside the picture, which is shown as "
                f"{width:.0f}x{height:.0f} pixels; give a box whose centre is inside"
            )
        side = min(shorter, max(x1 - x0, y1 - y0))
        return Square(
            min(max(0.0, middle_x - side / 2), width - side),
            min(max(0.0, middle_y - side / 2), height - side),
            side,
        )


def display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """How a stored picture is turned to be shown: signs (a, b, c, d) of x' = ax + cy, y' = bx + dy.

    Angles that are no multiple of 90 degrees are taken as the nearest one that is.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return (1, 0, 0, 1)
    a, b, _, c, d = np.frombuffer(bytes(side_data), np.int32)[:5].astype(float)  # type: ignore[call-overload]
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
    return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)


def _upright(
    packed: av.VideoFrame, matrix: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h w 3"]:
    """The pixels of a square picture, turned as they are to be shown."""
    image = packed.to_ndarray()
    a, b, c, d = matrix
    if b:  # A quarter turn: the stored columns are the shown rows.
        image = image.swapaxes(0, 1)
        a, d = c, b
    if d < 0:
        image = image[::-1]
    if a < 0:
        image = image[:, ::-1]
    return image


def _crop_graph(
    width: int, height: int, kind: av.VideoFormat, region: tuple[int, int, int, int]
) -> av.filter.Graph:
    """A filter that moves a picture's edges to left, top, width, height: no pixel is copied."""
    x, y, crop_width, crop_height = region
    graph = av.filter.Graph()
    graph.threads = 1
    # Time stamps are kept elsewhere; the filter only asks for a unit.
    source = graph.add_buffer(width=width, height=height, format=kind, time_base=Fraction(1, 1000))
    crop = graph.add("crop", f"{crop_width}:{crop_height}:{x}:{y}:exact=1")
    sink = graph.add("buffersink")
    source.link_to(crop)
    crop.link_to(sink)
    graph.configure()
    return graph

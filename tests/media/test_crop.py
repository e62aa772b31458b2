"""The square that is cut out of a picture: where it lies, in any format, turn and pixel shape."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from soundsight.media.clip import ClipSpec
from soundsight.media.crop import Box, SquareCutter
from soundsight.media.io import MediaError
from soundsight.media.picture import Box as PublicBox
from soundsight.media.stream import stream

from .conftest import MovieMaker

SPEC = ClipSpec(frames=1, fps=20.0, size=16, channels=3, sample_rate=16000)


def ramp(width: int, height: int) -> np.ndarray:
    """Red tells x, green y, both from 20 to 220; blue is a wave along the diagonal."""
    y, x = np.mgrid[:height, :width]
    blue = 120 + 50 * np.sin((x + 2 * y) / max(width, height) * 6)
    return np.stack([20 + 200 * x / width, 20 + 200 * y / height, blue], -1).astype(np.uint8)


def averaged(square: np.ndarray, size: int = 16) -> np.ndarray:
    """A square resized by averaging, by PyTorch."""
    pixels = torch.from_numpy(square.copy()).permute(2, 0, 1)[None].float()
    return F.adaptive_avg_pool2d(pixels, size)[0].permute(1, 2, 0).numpy()


def cut(image: np.ndarray, box: Box | None = None, kind: str = "rgb24", size: int = 16):
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=kind)
    cutter = SquareCutter("film.mp4", size, 3, pixel_aspect=None, box=box)
    return cutter.cut(frame).astype(float)


PACKED = ["rgb24", "bgra", "rgb48le", "yuyv422"]
PLANAR = ["gbrp", "gbrp10le", "yuv444p", "yuv440p", "yuv422p", "yuv422p10le", "nv12", "p010le"]
COARSE = ["yuv420p", "yuvj420p", "yuva420p", "yuv420p10le", "yuv410p"]


@pytest.mark.parametrize("kind", PACKED + PLANAR + COARSE)
@pytest.mark.parametrize("place", [(0, 0, 32), (7, 3, 32), (33, 11, 37), (64, 16, 32), (5, 1, 16)])
def test_every_format_is_cut_at_the_same_place(kind: str, place: tuple[int, int, int]):
    image = ramp(96, 48)
    x, y, side = place
    expected = averaged(image[y : y + side, x : x + side])
    got = cut(image, Box(x, y, x + side, y + side), kind)
    error = np.abs(got - expected)[1:-1, 1:-1]  # Coarse colour is smeared over the border.
    assert error[..., 2].max() < 12
    assert error[..., :2].max() < 5  # A pixel of the picture is 2 (x) or 4 (y).


@pytest.mark.parametrize("place", [(101, 33, 160), (0, 0, 200), (139, 39, 161)])
def test_large_pictures_are_cut_to_a_third_of_a_pixel_of_the_result(place: tuple[int, int, int]):
    image = ramp(300, 200)
    x, y, side = place
    expected = averaged(image[y : y + side, x : x + side])
    got = cut(image, Box(x, y, x + side, y + side), "yuv420p")
    pixel = np.array([200 / 300, 200 / 200]) * side / 16
    assert (np.abs(got - expected)[..., :2] < pixel / 3 + 1.6).all()


def test_grey_pictures_are_cut_exactly():
    grey = np.random.default_rng(0).integers(0, 256, (48, 96)).astype(np.uint8)
    cutter = SquareCutter("film.mp4", 16, 1, pixel_aspect=None, box=Box(11, 5, 27, 21))
    got = cutter.cut(av.VideoFrame.from_ndarray(grey, "gray"))
    np.testing.assert_array_equal(got[..., 0], grey[5:21, 11:27])


@pytest.mark.parametrize(
    ("box", "square"),
    [
        (None, (24, 0, 48)),
        ((10, 20, 30, 36), (10, 18, 20)),  # Wider than high: around the middle.
        ((40, 4, 50, 34), (30, 4, 30)),
        ((0, 0, 90, 10), (21, 0, 48)),  # As wide as the picture is high, at most.
        ((86, 0, 96, 30), (66, 0, 30)),  # Moved inside.
        ((-8, 40, 8, 56), (0, 32, 16)),
        ((-1e6, -1e6, 1e6, 1e6), (0, 0, 48)),
        ((20, 10, 20.5, 10.2), (20, 10, 1)),
    ],
)
def test_the_smallest_square_around_the_box(box, square: tuple[int, int, int]):
    x, y, side = square
    image = ramp(96, 48)
    got = cut(image, None if box is None else Box(*box))
    if side == 1:
        np.testing.assert_allclose(got, np.broadcast_to(image[y, x], got.shape), atol=1)
    else:
        expected = averaged(image[y : y + side, x : x + side])
        assert np.abs(got - expected)[..., :2].max() < 4.5


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (-90, 3)])
@pytest.mark.parametrize("box", [None, (0, 0, 16, 16), (5, 30, 21, 46), (28, 8, 44, 24)])
def test_boxes_count_in_the_upright_picture(movie: MovieMaker, rotation: int, turns: int, box):
    image = ramp(64, 48)
    path = movie("movie.mp4", rotation=rotation, image=lambda s: image.copy())
    upright = np.rot90(image, turns)
    height, width = upright.shape[:2]
    x, y, side = ((width - 48) // 2, (height - 48) // 2, 48) if box is None else (*box[:2], 16)
    box = None if box is None else PublicBox(*map(float, box))
    frames, _ = next(iter(stream(path, SPEC, box=box)))
    expected = averaged(upright[y : y + side, x : x + side])
    error = np.abs(frames[0].astype(float) - expected)[1:-1, 1:-1, :2]
    assert error.max() < 7  # A pixel of the picture is 3 or 4, turned the wrong way it is far more.


def test_boxes_count_in_square_pixels(movie: MovieMaker):
    image = ramp(96, 48)  # Shown as 48 x 48.
    aspect = Fraction(1, 2)
    path = movie("movie.mp4", width=96, aspect=aspect, image=lambda s: image.copy())
    frames, _ = next(iter(stream(path, SPEC, box=Box(24, 8, 40, 24))))
    expected = averaged(image[8:24, 48:80])
    assert np.abs(frames[0].astype(float) - expected)[1:-1, 1:-1, :2].max() < 6


def test_a_picture_that_changes_its_size_is_planned_anew():
    cutter = SquareCutter("film.mp4", 16, 3, pixel_aspect=None, box=Box(8, 8, 24, 24))
    for width, height in ((96, 48), (48, 96), (96, 48)):
        image = ramp(width, height)
        got = cutter.cut(av.VideoFrame.from_ndarray(image, "rgb24"))
        np.testing.assert_array_equal(got, image[8:24, 8:24])


def test_a_box_outside_the_picture_is_refused(movie: MovieMaker):
    path = movie("movie.mp4")
    for box in (Box(60, 10, 80, 20), Box(0, 50, 10, 60), Box(-30, 0, -10, 20)):
        with pytest.raises(
            MediaError, match=r"movie.mp4: box .* outside .* 64x48 pixels"
        ) as caught:
            list(stream(path, SPEC, box=box))
        assert "\n" not in str(caught.value)
    for box in (Box(10, 10, 10, 20), Box(10, 20, 20, 10), Box(0, 0, float("nan"), 1)):
        with pytest.raises(ValueError, match="must be finite, with x0 < x1"):
            list(stream(path, SPEC, box=box))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (3, 2), (33, 21), (17, 63)])
def test_tiny_and_odd_pictures(width: int, height: int):
    image = ramp(width, height)
    assert cut(image, kind="yuv420p").shape == (16, 16, 3)
    got = cut(image)
    side = min(width, height)
    x, y = (width - side) // 2, (height - side) // 2
    centre = image[y : y + side, x : x + side, :2].mean(axis=(0, 1))
    pixel = np.array([200 / width, 200 / height])
    assert (np.abs(got[..., :2].mean(axis=(0, 1)) - centre) < 0.5 * pixel + 2).all()

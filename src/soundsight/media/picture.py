"""From decoded pictures to square frames at a constant rate, by their time stamps alone.

Frame k of the result is what was on screen at (k + 1/2)/fps: within half a frame of the source for
any rate, constant or variable. Counts and nominal rates of a file are never used: they are wrong
in variable-rate files and after edit lists.
"""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from jaxtyping import UInt8

from soundsight.media.clip import ClipSpec
from soundsight.media.limits import Limits, MediaError

MAX_ASPECT = 64
"""Pictures more oblong than this are refused: a square crop of them would be mostly enlargement."""
SAME_TIME_S = 1e-6
"""Times closer than this are equal: rounding must not choose between two frames."""
FALLBACK_FRAME_S = 0.04
"""Duration of a picture that nothing tells the duration of (a still), seconds."""
GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of R, G, B. Source: ITU-R BT.601, section 2.5.1."""
AVERAGING = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
"""Every output pixel is the mean of what it covers (bilinear where the picture is enlarged)."""


class FramePicker:
    """Keeps the pictures on screen at the ticks of a constant rate, cropped and resized.

    Only pictures that are kept are converted. Before the first picture the first one is shown.
    """

    def __init__(
        self,
        name: str,
        spec: ClipSpec,
        *,
        start_s: float,
        frames: int | None,
        pixel_aspect: Fraction | None,
        limits: Limits,
    ) -> None:
        """Pick `frames` frames (None: all) from `start_s` on.

        Args:
            name: of the file, for errors.
            spec: rate, size and channels to make; its `frames` is not used.
            start_s: time of the first frame's beginning, seconds.
            frames: how many, or None for as many as there are.
            pixel_aspect: width of a stored pixel over its height; None or 0 means 1.
            limits: bounds on the pictures and on the time.
        """
        self.name = name
        self.spec = spec
        self.end_s = 0.0
        self.start_s = start_s
        self._wanted = frames
        self._pixel_aspect = float(pixel_aspect or 1)
        self._limits = limits
        self._reformatter = VideoReformatter()  # One for all: a fresh one per frame costs 2-6x.
        self._pixels = bytearray()
        self._count = 0
        self._held: av.VideoFrame | None = None
        self._held_time_s = 0.0
        self._gap_s = FALLBACK_FRAME_S

    @property
    def has_any(self) -> bool:
        """Whether any picture came."""
        return self._held is not None

    @property
    def is_done(self) -> bool:
        """Whether all wanted frames are there."""
        return self._wanted is not None and self._count >= self._wanted

    def add(self, frame: av.VideoFrame, time_s: float | None) -> None:
        """Take the next picture in order of presentation.

        Args:
            frame: decoded picture.
            time_s: when it appears, seconds; None is one duration after the one before.

        Raises:
            MediaError: if the picture or its time is beyond the limits.
        """
        if frame.width * frame.height > self._limits.max_pixels:
            raise MediaError(
                f"{self.name}: picture of {frame.width}x{frame.height} pixels; "
                f"at most {self._limits.max_pixels} pixels are allowed"
            )
        if time_s is None:
            time_s = self.end_s
        if time_s > self._limits.max_seconds:
            raise MediaError(
                f"{self.name}: has a picture at {time_s:.0f} s; "
                f"at most {self._limits.max_seconds:g} s are allowed"
            )
        if self._held is not None:
            if time_s <= self._held_time_s:
                return  # A damaged time stamp: presentation never runs backwards.
            self._show_until(time_s)
            self._gap_s = time_s - self._held_time_s
        self._held, self._held_time_s = frame, time_s
        self.end_s = time_s + (_duration_s(frame) or self._gap_s)

    def finish(self) -> None:
        """No more pictures: the last one stays for its own duration."""
        if self._held is not None:
            self._show_until(self.end_s)

    def frames(self) -> UInt8[np.ndarray, "t h w c"]:
        """The frames picked so far."""
        s = self.spec
        pixels = np.frombuffer(self._pixels, np.uint8)
        return pixels.reshape(self._count, s.size, s.size, s.channels)

    def _show_until(self, time_s: float) -> None:
        """Give the held picture to every tick before `time_s`."""
        image: bytes | None = None
        while not self.is_done and self._tick_s(self._count) < time_s - SAME_TIME_S:
            if image is None:
                assert self._held is not None
                image = self._square(self._held).tobytes()
            self._pixels += image
            self._count += 1

    def _tick_s(self, k: int) -> float:
        return self.start_s + (k + 0.5) / self.spec.fps

    def _square(self, frame: av.VideoFrame) -> UInt8[np.ndarray, "h w c"]:
        """The centre square of a picture as it is meant to be seen, at the spec's size."""
        size = self.spec.size
        shown_width, shown_height = frame.width * self._pixel_aspect, float(frame.height)
        side = min(shown_width, shown_height)
        if max(shown_width, shown_height) > MAX_ASPECT * side:
            raise MediaError(
                f"{self.name}: picture shown as {shown_width:.0f}x{shown_height:.0f}; "
                f"sides may differ {MAX_ASPECT} times at most"
            )
        # Scale the whole picture in one pass so that the square is exactly in its middle.
        width, height = (
            size + 2 * round((shown / side - 1) * size / 2) for shown in (shown_width, shown_height)
        )
        rgb = self._reformatter.reformat(
            frame, width, height, "rgb24", interpolation=AVERAGING, threads=1
        ).to_ndarray()
        top, left = (height - size) // 2, (width - size) // 2
        image = _upright(rgb[top : top + size, left : left + size], display_matrix(frame))
        if self.spec.channels == 1:
            image = (image @ np.array(GREY_WEIGHTS, np.float32) + 0.5).astype(np.uint8)[..., None]
        return np.ascontiguousarray(image)


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
    image: UInt8[np.ndarray, "h w c"], matrix: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h2 w2 c"]:
    a, b, c, d = matrix
    if b:  # A quarter turn: the stored columns are the shown rows.
        image = image.swapaxes(0, 1)
        a, d = c, b
    if d < 0:
        image = image[::-1]
    if a < 0:
        image = image[:, ::-1]
    return image


def _duration_s(frame: av.VideoFrame) -> float | None:
    """The picture's own duration, seconds, where the file tells it."""
    if not frame.duration or frame.time_base is None:
        return None
    return float(frame.duration * frame.time_base)

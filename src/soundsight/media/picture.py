"""From decoded pictures to square frames at a constant rate, by their time stamps alone.

Frame k of the result is what was on screen at (k + 1/2)/fps (or another part of the frame): within
half a frame of the source for any rate, constant or variable. Counts and nominal rates of a file
are never used: they are wrong in variable-rate files and after edit lists.
"""

from collections import deque
from fractions import Fraction

import av
import numpy as np
from jaxtyping import UInt8

from soundsight.media.clip import ClipSpec
from soundsight.media.crop import AVERAGING, Box, SquareCutter, display_matrix
from soundsight.media.limits import Limits, MediaError

__all__ = ["AVERAGING", "Box", "FramePicker", "display_matrix"]

SAME_TIME_S = 1e-6
"""Times closer than this are equal: rounding must not choose between two frames."""
FALLBACK_FRAME_S = 0.04
"""Duration of a picture that nothing tells the duration of (a still), seconds."""


class FramePicker:
    """Picks the pictures on screen at the ticks of a constant rate, cropped and resized.

    Only pictures that are picked are converted. Before the first picture the first one is shown.
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
        box: Box | None = None,
        frame_at: float | int = 0.5,
    ) -> None:
        """Pick `frames` frames (None: all) from `start_s` on.

        Args:
            name: of the file, for errors.
            spec: rate, size and channels to make; its `frames` is not used.
            start_s: time of the first frame's beginning, seconds.
            frames: how many, or None for as many as there are.
            pixel_aspect: width of a stored pixel over its height; None or 0 means 1.
            limits: bounds on the pictures and on the time.
            box: what to crop to; None: the centre square.
            frame_at: frame k is what is on screen (k + frame_at)/fps after `start_s`.

        Raises:
            ValueError: if the box has no area.
        """
        self.name = name
        self.spec = spec
        self.end_s = 0.0
        self.start_s = start_s
        self.shown_s = 0.0
        """Time until which it is known what is on screen, seconds."""
        self._wanted = frames
        self._frame_at = frame_at
        self._limits = limits
        self._cutter = SquareCutter(
            name, spec.size, spec.channels, pixel_aspect=pixel_aspect, box=box
        )
        self._images: deque[UInt8[np.ndarray, "h w c"]] = deque()
        self._count = 0  # Frames picked so far, taken or not.
        self._held: av.VideoFrame | None = None
        self._gap_s = FALLBACK_FRAME_S

    @property
    def has_any(self) -> bool:
        """Whether any picture came."""
        return self._held is not None

    @property
    def is_done(self) -> bool:
        """Whether all wanted frames are there."""
        return self._wanted is not None and self._count >= self._wanted

    @property
    def ready(self) -> int:
        """Frames that can be taken."""
        return len(self._images)

    def add(self, frame: av.VideoFrame, time_s: float | None) -> None:
        """Take the next picture in order of presentation.

        Args:
            frame: decoded picture.
            time_s: when it appears, seconds; None is one duration after the one before.

        Raises:
            MediaError: if the picture or its time is beyond the limits, or the box lies outside.
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
            if time_s <= self.shown_s:
                return  # A damaged time stamp: presentation never runs backwards.
            self._show_until(time_s)
            self._gap_s = time_s - self.shown_s
        self._held, self.shown_s = frame, time_s
        self.end_s = time_s + (_duration_s(frame) or self._gap_s)

    def finish(self) -> None:
        """No more pictures: the last one stays for its own duration."""
        if self._held is not None:
            self._show_until(self.end_s)

    def take(self, frames: int) -> UInt8[np.ndarray, "t h w c"]:
        """Hand out the next `frames` frames (as many as are ready, at most) and forget them."""
        s = self.spec
        images = [self._images.popleft() for _ in range(min(frames, self.ready))]
        return np.stack(images) if images else np.zeros((0, s.size, s.size, s.channels), np.uint8)

    def _show_until(self, time_s: float) -> None:
        """Give the held picture to every tick before `time_s`."""
        image: UInt8[np.ndarray, "h w c"] | None = None
        while not self.is_done and self._tick_s(self._count) < time_s - SAME_TIME_S:
            if image is None:
                assert self._held is not None
                image = self._cutter.cut(self._held)
            self._images.append(image)
            self._count += 1

    def _tick_s(self, k: int) -> float:
        return self.start_s + (k + self._frame_at) / self.spec.fps


def _duration_s(frame: av.VideoFrame) -> float | None:
    """The picture's own duration, seconds, where the file tells it."""
    if not frame.duration or frame.time_base is None:
        return None
    return float(frame.duration * frame.time_base)

"""Decode the wanted streams of one file, step by step, into frames and a waveform on its clock."""

from collections.abc import Iterator

import av

from soundsight.media.clip import ClipSpec
from soundsight.media.container import MediaFile, errors_named, frames_of, need_streams, seek
from soundsight.media.crop import Box
from soundsight.media.limits import Limits, MediaError
from soundsight.media.needed import Ticks, can_leave_out, needed_frames
from soundsight.media.picture import SAME_TIME_S, FramePicker
from soundsight.media.sound import LEAD_S, SoundTrack

MISSING_SOUND_S = 0.05
"""Sound may end this much (or a frame, if longer) before the picture; silence fills it, seconds."""
SEEK_MARGIN_S = 0.5
"""Decoding starts this much before the first sample needed: codecs need a run-up, seconds."""


class Reader:
    """Reads a part of a file; what is made may be taken between any two steps."""

    picture: FramePicker | None
    """The frames; None if they are not wanted."""
    sound: SoundTrack | None
    """The waveform; None if it is not wanted."""

    def __init__(
        self,
        file: MediaFile,
        spec: ClipSpec,
        *,
        start_s: float,
        frames: int | None,
        limits: Limits,
        video: bool = True,
        audio: bool = True,
        box: Box | None = None,
        frame_at: float | int = 0.5,
        all_pictures: bool = True,
    ) -> None:
        """Read `frames` frames (None: all) and their sound, from `start_s` on.

        Args:
            file: open file.
            spec: size, channels and rates to make; its `frames` is not used.
            start_s: where the part begins, seconds on the file's clock.
            frames: how many frames, and as much sound; None for as much as there is.
            limits: bounds on the file.
            video: whether pictures are wanted.
            audio: whether sound is wanted.
            box: what to crop to; None: the centre square.
            frame_at: frame k is what is on screen (k + frame_at)/fps after `start_s`.
            all_pictures: whether to decode all pictures; otherwise only those that are needed, as
                far as it is certain (see `needed`), and `steps` may raise a DoubtError.

        Raises:
            MediaError: if the file lacks a wanted stream.
            ValueError: if the box has no area.
        """
        need_streams(file, video, audio)
        self.file = file
        self._spec = spec
        self._start_s = start_s
        self._wanted = frames
        self._limits = limits
        self._video = file.video if video else None
        self._audio = file.audio if audio else None
        self._box = box
        self._frame_at = frame_at
        self._all_pictures = all_pictures
        self._streams = [stream for stream in (self._video, self._audio) if stream]
        self.has_ended = False
        """Whether there are no more steps."""
        self._begin()

    @property
    def end_s(self) -> float:
        """Time at which the last of what was read ends, seconds."""
        return max(part.end_s for part in (self.picture, self.sound) if part)

    @property
    def reached_s(self) -> float:
        """Time until which all that is wanted has been read, seconds."""
        return min(
            self.picture.shown_s if self.picture else float("inf"),
            self.sound.end_s if self.sound else float("inf"),
        )

    def steps(self) -> Iterator[None]:
        """Read on until all wanted frames and samples are there, or the file ends.

        A part far into the file is read from a key frame before it; if the file cannot do that, it
        is read from its start. `picture` and `sound` are begun anew then, before anything can have
        been taken of both.

        Yields:
            After every decoded picture or piece of sound.

        Raises:
            MediaError: if the file is beyond the limits, or cannot be read from `start_s` on.
            DoubtError: if pictures were left out that may be needed; what was made is right.
        """
        from_s = max(0.0, self._start_s - LEAD_S - 1 - SEEK_MARGIN_S)
        with errors_named(self.file.path):
            has_sought = from_s > 0 and seek(self.file, from_s)
            frames = self._needed() if from_s == 0 else self._frames()
            try:
                yield from self._fill(frames, has_sought)
            except _OvershotError:
                if not seek(self.file, 0.0):
                    raise MediaError(
                        f"{self.file.path}: cannot be read from {self._start_s:g} s on; start at 0"
                    ) from None
                self._begin()
                yield from self._fill(self._frames(), has_sought=False)
        self.has_ended = True

    def check_whole(self) -> None:
        """Raise a MediaError if the file ended much earlier than its header tells."""
        if not self.has_ended:
            return
        told_s = self.file.told_s(self._streams) or 0.0
        if self._wanted is not None:
            told_s = min(told_s, self._start_s + self._wanted / self._spec.fps)
        if self.end_s < 0.95 * told_s - 0.5:
            raise MediaError(
                f"{self.file.path}: truncated or damaged: its header tells {told_s:.2f} s, but "
                f"only {self.end_s:.2f} s can be read"
            )

    def _begin(self) -> None:
        """Forget what was read."""
        name, frames = str(self.file.path), self._wanted
        self.picture = self.sound = None
        if self._video:
            self.picture = FramePicker(
                name,
                self._spec,
                start_s=self._start_s,
                frames=frames,
                pixel_aspect=self._video.sample_aspect_ratio,
                limits=self._limits,
                box=self._box,
                frame_at=self._frame_at,
            )
        if self._audio:
            self.sound = SoundTrack(
                name,
                self._spec.sample_rate,
                start_s=self._start_s,
                samples=None if frames is None else frames * self._spec.samples_per_frame,
                limits=self._limits,
            )

    def _frames(self) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """All frames from where the file stands."""
        return frames_of(self.file, self._streams)

    def _needed(self) -> Iterator[av.VideoFrame | av.AudioFrame]:
        """The frames of the whole file; without some that are not needed, if that is wanted."""
        spec = self._spec
        if self._all_pictures or not self._video or not can_leave_out(self._video, spec.fps):
            return self._frames()
        first_s = self._start_s + self._frame_at / spec.fps
        ticks = Ticks(first_s, spec.fps, self._wanted, SAME_TIME_S)
        return needed_frames(self.file, self._streams, ticks, self._limits.max_seconds)

    def _fill(
        self, frames: Iterator[av.VideoFrame | av.AudioFrame], has_sought: bool
    ) -> Iterator[None]:
        """Decode into both until they are done."""
        picture, sound = self.picture, self.sound
        parts = [part for part in (picture, sound) if part]
        for frame in frames:
            time_s = self.file.time_s(frame)
            if isinstance(frame, av.VideoFrame) and picture:
                if has_sought and not picture.has_any:
                    if not frame.key_frame:
                        continue  # It refers to pictures before the seek.
                    if time_s is None or time_s > picture.start_s:
                        raise _OvershotError
                if not picture.is_done:
                    picture.add(frame, time_s)
            elif isinstance(frame, av.AudioFrame) and sound:
                is_late = time_s is None or time_s > sound.origin_s
                if has_sought and not sound.has_any and is_late:
                    raise _OvershotError
                if not sound.is_done:
                    sound.add(frame, time_s)
            if all(part.is_done for part in parts):
                return
            yield
        if has_sought and not all(part.has_any for part in parts):
            raise _OvershotError
        for part in parts:
            part.finish()


class _OvershotError(Exception):
    """A seek landed after what is needed."""


def missing_sound_s(spec: ClipSpec) -> float:
    """How much sound may be missing at the end, seconds."""
    return max(1 / spec.fps, MISSING_SOUND_S)


def too_short(name: str, what: str, have_s: float, need_s: float) -> MediaError:
    """The error for a file that ends before what is wanted of it does."""
    return MediaError(
        f"{name}: {what} ends at {have_s:.3f} s; the clip needs it until {need_s:.3f} s: ask for "
        "fewer frames or an earlier start, or give a longer file"
    )

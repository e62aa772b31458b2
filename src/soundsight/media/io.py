"""Read media files as clips, any container, on one clock; `encode` writes them.

The clock of a file starts with the earliest of its first picture and its first sound, or at 0 where
that is negative (what comes before 0 is not shown by players either). Pictures and sound are placed
by their time stamps alone, so they stay together to half a frame and 1 ms, whatever the frame rate
(constant or variable), late starts and edit lists. A picture stays on screen until the next one,
the first one also stands in before its time; sound that starts late is preceded by silence.

Files are not trusted: only known containers are opened, nothing but the file itself is read
(no play lists, no addresses), `Limits` bound time and memory, and whatever is wrong with a file is
a `MediaError` that names it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.container import TELL_DURATION, MediaFile, frames_of, last_time_s, open_media
from soundsight.media.crop import display_matrix
from soundsight.media.encode import encode, film_strip, whole_file
from soundsight.media.limits import DEFAULT_LIMITS, Limits, MediaError
from soundsight.media.reader import Reader, missing_sound_s, too_short
from soundsight.media.stream import stream

__all__ = [
    "Limits",
    "MediaError",
    "MediaInfo",
    "decode",
    "decode_all",
    "decode_image",
    "encode",
    "film_strip",
    "probe",
    "stream",
    "whole_file",
]


@dataclass(frozen=True)
class MediaInfo:
    """What a file says about itself."""

    path: Path
    seconds: float
    """Duration, seconds."""
    has_video: bool
    has_audio: bool
    width: int | None
    """Stored width, pixels, before rotation and sample aspect ratio; None without video."""
    height: int | None
    """Stored height, pixels."""
    fps: float | None
    """Mean frame rate, Hz; None without video or if unknown."""
    sample_rate: int | None
    """Of the sound, Hz; None without sound."""
    rotation: int
    """Degrees anticlockwise by which the pictures are to be turned: 0, 90, 180 or 270."""


def probe(path: str | Path, *, limits: Limits = DEFAULT_LIMITS) -> MediaInfo:
    """What a file holds, without decoding more than its first picture.

    Args:
        path: media file.
        limits: bounds beyond which the file is refused.

    Returns:
        Its streams, sizes, rates and duration.

    Raises:
        MediaError: if the file is missing, unreadable, or beyond the limits.
    """
    with open_media(path, limits) as file:
        video, audio = file.video, file.audio
        first = _first_picture(file) if video else None
        seconds = file.seconds
        if file.container.format.name not in TELL_DURATION or seconds is None:
            with open_media(path, limits) as again:
                seconds = last_time_s(again)
        return MediaInfo(
            path=file.path,
            seconds=seconds,
            has_video=video is not None,
            has_audio=audio is not None,
            width=video.width if video else None,
            height=video.height if video else None,
            fps=float(video.average_rate) if video and video.average_rate else None,
            sample_rate=audio.sample_rate if audio else None,
            rotation=_degrees(first) if first else 0,
        )


def decode(
    path: str | Path,
    spec: ClipSpec,
    *,
    start_s: float | int = 0.0,
    video: bool = True,
    audio: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Clip:
    """Read a clip from a file.

    Frame k is what is on screen at start_s + (k + 1/2)/fps: upright, its pixels made square, the
    centre square of it, resized by averaging, grey or RGB. Sound is mixed to mono and resampled.

    Args:
        path: media file.
        spec: frames, size, channels and rates to make.
        start_s: where the clip begins, seconds from the start of the file's clock.
        video: whether pictures are wanted.
        audio: whether sound is wanted.
        limits: bounds beyond which the file is refused.

    Returns:
        A batch of one clip of exactly `spec.frames` frames and `spec.samples` samples.

    Raises:
        MediaError: if the file is missing, unreadable, beyond the limits, lacks a wanted stream, or
            is too short. Sound may be missing for the last frame (or 50 ms): silence fills it.
        ValueError: if nothing is wanted or `start_s` is negative.
    """
    if not (video or audio):
        raise ValueError("video=False, audio=False: at least one of them must be wanted")
    if not 0 <= start_s < float("inf"):
        raise ValueError(f"start_s={start_s} must be at least 0 seconds")
    with open_media(path, limits) as file:
        reader = Reader(
            file,
            spec,
            start_s=start_s,
            frames=spec.frames,
            limits=limits,
            video=video,
            audio=audio,
        )
        for _ in reader.steps():
            pass
    name, end_s = str(path), start_s + spec.seconds
    picture, sound = reader.picture, reader.sound
    frames = wave = None
    if picture:
        if picture.ready < spec.frames:
            raise too_short(name, "picture", picture.end_s, end_s)
        frames = _batch(picture.take(spec.frames))
    if sound:
        if sound.end_s < end_s - missing_sound_s(spec):
            raise too_short(name, "sound", sound.end_s, end_s)
        wave = torch.from_numpy(sound.take(spec.samples))[None]
    return Clip(spec, video=frames, audio=wave)


def decode_all(
    path: str | Path, spec: ClipSpec, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[UInt8[np.ndarray, "t h w c"], Float32[np.ndarray, " n"]]:
    """Read the whole of a file that has picture and sound.

    Args:
        path: media file.
        spec: size, channels and rates to make; its `frames` is not used.
        limits: bounds beyond which the file is refused.

    Returns:
        Frames in 0 ... 255, shape (t, h, w, c), and sound in [-1, 1], shape (n,), of the same
        duration: n = t * spec.samples_per_frame.

    Raises:
        MediaError: if the file is missing, unreadable, truncated, beyond the limits, lacks picture
            or sound, or is shorter than a frame.
    """
    pixels, samples = bytearray(), bytearray()
    for frames, wave in stream(path, spec, limits=limits):
        pixels += frames.tobytes()
        samples += wave.tobytes()
    shape = (-1, spec.size, spec.size, spec.channels)
    return np.frombuffer(pixels, np.uint8).reshape(shape), np.frombuffer(samples, np.float32)


def decode_image(path: str | Path, spec: ClipSpec, *, limits: Limits = DEFAULT_LIMITS) -> Clip:
    """Read an image (png, jpg, ...), or a video's first picture, as a clip of one frame.

    Args:
        path: image or video file.
        spec: size, channels and rates; its `frames` is not used.
        limits: bounds beyond which the file is refused.

    Returns:
        A batch of one clip with one frame and no sound.

    Raises:
        MediaError: if the file is missing, unreadable, beyond the limits, or has no picture.
    """
    spec = replace(spec, frames=1)
    with open_media(path, limits) as file:
        reader = Reader(file, spec, start_s=0.0, frames=1, limits=limits, audio=False)
        picture, first = reader.picture, _first_picture(file)
        assert picture is not None
        if first is None:
            raise MediaError(f"{path}: no picture can be decoded; the file is damaged")
        picture.add(first, 1 / spec.fps)  # Wherever it stands, it is the first.
        picture.finish()
        return Clip(spec, video=_batch(picture.take(1)))


def _first_picture(file: MediaFile) -> av.VideoFrame | None:
    assert file.video is not None
    frames = frames_of(file, [file.video])
    return next((frame for frame in frames if isinstance(frame, av.VideoFrame)), None)


def _batch(frames: UInt8[np.ndarray, "t h w c"]) -> Float32[Tensor, "1 t c h w"]:
    """Frames as a batch of one video."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float().div(255)[None]


def _degrees(frame: av.VideoFrame) -> int:
    """Anticlockwise quarter turns of the display matrix, in degrees; a mirror image counts as 0."""
    return {(1, 0, 0, 1): 0, (0, -1, 1, 0): 90, (-1, 0, 0, -1): 180, (0, 1, -1, 0): 270}.get(
        display_matrix(frame), 0
    )

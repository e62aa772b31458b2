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

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import torch
from av.stream import Disposition
from jaxtyping import Float32, UInt8

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.encode import encode, film_strip, whole_file
from soundsight.media.limits import DEFAULT_LIMITS, Limits, MediaError
from soundsight.media.picture import FramePicker, display_matrix
from soundsight.media.sound import LEAD_S, SoundTrack

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
    "whole_file",
]

CONTAINERS = (
    "aac,ac3,aiff,apng,asf,au,avi,bmp_pipe,caf,dv,flac,flv,gif,h264,hevc,ivf,jpeg_pipe,"
    "matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,png_pipe,tiff_pipe,tta,"
    "w64,wav,webp_pipe,wv"
)
"""FFmpeg's names of the containers that are opened; none of them leads to other files."""
TELL_DURATION = {"flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "wav"}
"""Containers whose header tells the true duration; for others FFmpeg guesses, often badly."""
MISSING_SOUND_S = 0.05
"""Sound may end this much (or a frame, if longer) before the picture; silence fills it, seconds."""
SEEK_MARGIN_S = 0.5
"""Decoding starts this much before the first sample needed: codecs need a run-up, seconds."""


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


class _Source(NamedTuple):
    """An open file and the streams that count in it."""

    path: Path
    container: av.container.InputContainer
    video: av.VideoStream | None
    audio: av.AudioStream | None
    zero_s: float
    """The time stamp at which the file's clock starts."""

    @property
    def seconds(self) -> float | None:
        """Duration that the header tells or FFmpeg estimates, if any."""
        ticks = self.container.duration
        return None if ticks is None else ticks / av.time_base

    def time_s(self, frame: av.VideoFrame | av.AudioFrame) -> float | None:
        """When a frame begins on the file's clock, seconds."""
        return None if frame.time is None else float(frame.time) - self.zero_s


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
    with _open(path, limits) as source:
        video, audio = source.video, source.audio
        rotation = 0
        seconds = source.seconds
        if video:
            first = next(
                (f for f in _frames(source, [video]) if isinstance(f, av.VideoFrame)), None
            )
            rotation = _degrees(first) if first else 0
        if source.container.format.name not in TELL_DURATION or seconds is None:
            with _open(path, limits) as again:
                seconds = _last_time_s(again)
        return MediaInfo(
            path=source.path,
            seconds=seconds,
            has_video=video is not None,
            has_audio=audio is not None,
            width=video.width if video else None,
            height=video.height if video else None,
            fps=float(video.average_rate) if video and video.average_rate else None,
            sample_rate=audio.sample_rate if audio else None,
            rotation=rotation,
        )


def decode(
    path: str | Path,
    spec: ClipSpec,
    *,
    start_s: float = 0.0,
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
    with _open(path, limits) as source:
        _need_streams(source, video, audio)
        picture, sound = _read(source, spec, start_s, spec.frames, video, audio, limits)
    name, end_s = str(path), start_s + spec.seconds
    frames = wave = None
    if picture:
        if len(picture.frames()) < spec.frames:
            raise _too_short(name, "picture", picture.end_s, end_s)
        frames = torch.from_numpy(picture.frames()).permute(0, 3, 1, 2).float().div(255)[None]
    if sound:
        if sound.end_s < end_s - _missing_sound_s(spec):
            raise _too_short(name, "sound", sound.end_s, end_s)
        wave = torch.from_numpy(sound.wave(spec.samples))[None]
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
    with _open(path, limits) as source:
        _need_streams(source, video=True, audio=True)
        picture, sound = _read(source, spec, 0.0, None, True, True, limits)
        assert picture is not None
        assert sound is not None
        end_s, told_s = max(picture.end_s, sound.end_s), source.seconds or 0.0
        if source.container.format.name in TELL_DURATION and end_s < 0.95 * told_s - 0.5:
            raise MediaError(
                f"{path}: truncated or damaged: its header tells {told_s:.2f} s, but only "
                f"{end_s:.2f} s can be read"
            )
    frames = picture.frames()
    heard = (sound.end_s + _missing_sound_s(spec)) * spec.fps
    count = min(len(frames), int(heard)) if sound.has_any else 0
    if count == 0:
        raise _too_short(
            str(path), "picture with sound", min(picture.end_s, sound.end_s), 1 / spec.fps
        )
    return frames[:count], sound.wave(count * spec.samples_per_frame)


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
    with _open(path, limits) as source:
        _need_streams(source, video=True, audio=False)
        picture, picture_stream = _picker(source, spec, 0.0, 1, limits), source.video
        assert picture_stream is not None
        for frame in _frames(source, [picture_stream]):
            if isinstance(frame, av.VideoFrame):
                picture.add(frame, 1 / spec.fps)  # Wherever it stands, it is the first.
                break
        picture.finish()
    if not picture.has_any:
        raise MediaError(f"{path}: no picture can be decoded; the file is damaged")
    image = torch.from_numpy(picture.frames()).permute(0, 3, 1, 2).float().div(255)
    return Clip(spec, video=image[None])


@contextmanager
def _open(path: str | Path, limits: Limits) -> Iterator[_Source]:
    """Open a file within the limits; FFmpeg's errors become MediaErrors."""
    path = Path(path)
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; give a media file")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; give a media file")
    if path.stat().st_size == 0:
        raise MediaError(f"{path}: is empty (0 bytes); give a media file")
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": CONTAINERS,
        "max_pixels": str(limits.max_pixels),
    }
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            yield _select(path, container, limits)
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{path}: is no readable media file ({error.strerror}); give a video (mp4, mov, mkv, "
            "webm, avi, mpg, ...), a sound (wav, flac, mp3, m4a, ...) or an image (png, jpg)"
        ) from error


def _select(path: Path, container: av.container.InputContainer, limits: Limits) -> _Source:
    """The first picture stream that is no cover image, the first sound, and the clock's start."""
    streams = list(container.streams)
    if len(streams) > limits.max_streams:
        raise MediaError(
            f"{path}: has {len(streams)} streams; at most {limits.max_streams} allowed"
        )
    video = next((s for s in container.streams.video if _is_moving(s)), None)
    audio = next((s for s in container.streams.audio if s.codec_context), None)
    starts = [
        float(s.start_time * s.time_base)
        for s in (video, audio)
        if s and s.start_time is not None and s.time_base is not None
    ]
    source = _Source(path, container, video, audio, max(0.0, min(starts, default=0.0)))
    if video is None and audio is None:
        raise MediaError(f"{path}: has neither picture nor sound that can be decoded")
    if video and video.width * video.height > limits.max_pixels:
        raise MediaError(
            f"{path}: picture of {video.width}x{video.height} pixels; "
            f"at most {limits.max_pixels} pixels are allowed"
        )
    if (source.seconds or 0.0) > limits.max_seconds:
        raise MediaError(
            f"{path}: lasts {source.seconds:.0f} s; at most {limits.max_seconds:g} s are allowed"
        )
    for stream in (video, audio):
        if stream:  # One thread a file: whoever reads many files runs them side by side.
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.thread_count = 1
    return source


def _is_moving(stream: av.VideoStream) -> bool:
    return bool(stream.codec_context) and not stream.disposition & Disposition.attached_pic


def _need_streams(source: _Source, video: bool, audio: bool) -> None:
    for name, wanted, stream, other in (
        ("picture", video, source.video, "sound"),
        ("sound", audio, source.audio, "picture"),
    ):
        if wanted and stream is None:
            flag = "video" if name == "picture" else "audio"
            raise MediaError(
                f"{source.path}: has {other} but no {name}; give a file with {name}, or ask for "
                f"its {other} only ({flag}=False)"
            )


def _picker(
    source: _Source, spec: ClipSpec, start_s: float, frames: int | None, limits: Limits
) -> FramePicker:
    assert source.video is not None
    return FramePicker(
        str(source.path),
        spec,
        start_s=start_s,
        frames=frames,
        pixel_aspect=source.video.sample_aspect_ratio,
        limits=limits,
    )


def _read(
    source: _Source,
    spec: ClipSpec,
    start_s: float,
    frames: int | None,
    video: bool,
    audio: bool,
    limits: Limits,
) -> tuple[FramePicker | None, SoundTrack | None]:
    """Decode `frames` frames (None: all) and their sound; from a key frame before, if possible."""
    name = str(source.path)
    samples = None if frames is None else frames * spec.samples_per_frame
    from_s = max(0.0, start_s - LEAD_S - 1 - SEEK_MARGIN_S)
    has_sought = from_s > 0 and _seek(source, from_s)
    while True:
        picture = sound = None
        if video:
            picture = _picker(source, spec, start_s, frames, limits)
        if audio:
            sound = SoundTrack(
                name, spec.sample_rate, start_s=start_s, samples=samples, limits=limits
            )
        if _fill(source, picture, sound, has_sought=has_sought):
            return picture, sound
        has_sought = False  # It landed after what is needed: from the start.
        if not _seek(source, 0.0):
            raise MediaError(f"{name}: cannot be read from {start_s:g} s on; start at 0")


def _seek(source: _Source, time_s: float) -> bool:
    """Go to the key frame before a time; whether the file can."""
    try:
        source.container.seek(round((time_s + source.zero_s) * av.time_base))
    except av.error.FFmpegError:
        return False
    return True


def _fill(
    source: _Source, picture: FramePicker | None, sound: SoundTrack | None, *, has_sought: bool
) -> bool:
    """Decode into both until they are done; False if a seek landed after what is needed."""
    pairs = ((source.video, picture), (source.audio, sound))
    streams = [stream for stream, part in pairs if stream is not None and part is not None]
    for frame in _frames(source, streams):
        time_s = source.time_s(frame)
        if isinstance(frame, av.VideoFrame) and picture:
            if has_sought and not picture.has_any:
                if not frame.key_frame:
                    continue  # It refers to pictures before the seek.
                if time_s is None or time_s > picture.start_s:
                    return False
            if not picture.is_done:
                picture.add(frame, time_s)
        elif isinstance(frame, av.AudioFrame) and sound:
            late = time_s is None or time_s > sound.origin_s
            if has_sought and not sound.has_any and late:
                return False
            if not sound.is_done:
                sound.add(frame, time_s)
        if all(part is None or part.is_done for part in (picture, sound)):
            return True
    if has_sought and any(part is not None and not part.has_any for part in (picture, sound)):
        return False
    for part in (picture, sound):
        if part:
            part.finish()
    return True


def _frames(
    source: _Source, streams: Sequence[av.VideoStream | av.AudioStream]
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames in the file's order; damaged packets are skipped, as players do."""
    for packet in _packets(source, streams):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _packets(
    source: _Source, streams: Sequence[av.VideoStream | av.AudioStream]
) -> Iterator[av.Packet]:
    """Packets in the file's order, then one that flushes each decoder, even if the file breaks."""
    packets = iter(source.container.demux(*streams))
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, IndexError):  # IndexError: a stream that no header told of.
            break
        yield packet
    for stream in streams:
        flush = av.Packet()
        flush.stream = stream
        yield flush


def _degrees(frame: av.VideoFrame) -> int:
    """Anticlockwise quarter turns of the display matrix, in degrees; a mirror image counts as 0."""
    return {(1, 0, 0, 1): 0, (0, -1, 1, 0): 90, (-1, 0, 0, -1): 180, (0, 1, -1, 0): 270}.get(
        display_matrix(frame), 0
    )


def _last_time_s(source: _Source) -> float:
    """Where the last packet ends, seconds: for files whose header does not tell."""
    end_s = 0.0
    streams = [s for s in (source.video, source.audio) if s]
    for packet in _packets(source, streams):
        if packet.pts is not None and packet.time_base is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return max(0.0, end_s - source.zero_s)


def _missing_sound_s(spec: ClipSpec) -> float:
    """How much sound may be missing at the end, seconds."""
    return max(1 / spec.fps, MISSING_SOUND_S)


def _too_short(name: str, what: str, have_s: float, need_s: float) -> MediaError:
    return MediaError(
        f"{name}: {what} ends at {have_s:.3f} s; the clip needs it until {need_s:.3f} s: ask for "
        "fewer frames or an earlier start, or give a longer file"
    )

"""Open a media file from anyone and hand out its decoded frames; see `io` for the rules.

Only known containers are opened, and nothing but the file itself is read (no play lists, no
addresses). FFmpeg's errors become `MediaError`s that name the file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
from av.stream import Disposition

from soundsight.media.limits import Limits, MediaError

CONTAINERS = (
    "aac,ac3,aiff,apng,asf,au,avi,bmp_pipe,caf,dv,flac,flv,gif,h264,hevc,ivf,jpeg_pipe,"
    "matroska,webm,mov,mp4,m4a,3gp,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,png_pipe,tiff_pipe,tta,"
    "w64,wav,webp_pipe,wv"
)
"""FFmpeg's names of the containers that are opened; none of them leads to other files."""
TELL_DURATION = {"flac", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "wav"}
"""Containers whose header tells the true duration; for others FFmpeg guesses, often badly."""


class MediaFile(NamedTuple):
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

    def told_s(self, streams: "Sequence[av.VideoStream | av.AudioStream]") -> float | None:
        """When some of its streams end, seconds on the file's clock, if the header tells truly."""
        if self.container.format.name not in TELL_DURATION:
            return None
        if all(stream in streams for stream in (self.video, self.audio) if stream):
            return self.seconds
        ends = [
            float(((s.start_time or 0) + s.duration) * s.time_base) - self.zero_s
            for s in streams
            if s.duration is not None and s.time_base is not None
        ]
        return max(ends, default=None)

    def time_s(self, frame: av.VideoFrame | av.AudioFrame) -> float | None:
        """When a frame begins on the file's clock, seconds."""
        return None if frame.time is None else float(frame.time) - self.zero_s


@contextmanager
def open_media(path: str | Path, limits: Limits) -> Iterator[MediaFile]:
    """Open a file within the limits.

    Raises:
        MediaError: if the file is missing, unreadable, or beyond the limits; while it is open, too,
            for any error of FFmpeg.
    """
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
    with (
        errors_named(path),
        av.open(f"file:{path}", options=options, metadata_errors="replace") as container,
    ):
        yield _select(path, container, limits)


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors into MediaErrors that name the file."""
    try:
        yield
    except av.error.FFmpegError as error:
        raise MediaError(
            f"{path}: is no readable media file ({error.strerror}); give a video (mp4, mov, mkv, "
            "webm, avi, mpg, ...), a sound (wav, flac, mp3, m4a, ...) or an image (png, jpg)"
        ) from error


def _select(path: Path, container: av.container.InputContainer, limits: Limits) -> MediaFile:
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
    file = MediaFile(path, container, video, audio, max(0.0, min(starts, default=0.0)))
    if video is None and audio is None:
        raise MediaError(f"{path}: has neither picture nor sound that can be decoded")
    if video and video.width * video.height > limits.max_pixels:
        raise MediaError(
            f"{path}: picture of {video.width}x{video.height} pixels; "
            f"at most {limits.max_pixels} pixels are allowed"
        )
    if (file.seconds or 0.0) > limits.max_seconds:
        raise MediaError(
            f"{path}: lasts {file.seconds:.0f} s; at most {limits.max_seconds:g} s are allowed"
        )
    for stream in (video, audio):
        if stream:  # One thread a file: whoever reads many files runs them side by side.
            stream.codec_context.thread_type = "NONE"
            stream.codec_context.thread_count = 1
    return file


def _is_moving(stream: av.VideoStream) -> bool:
    return bool(stream.codec_context) and not stream.disposition & Disposition.attached_pic


def need_streams(file: MediaFile, video: bool, audio: bool) -> None:
    """Raise a MediaError if the file lacks a stream that is wanted."""
    for name, wanted, stream, other in (
        ("picture", video, file.video, "sound"),
        ("sound", audio, file.audio, "picture"),
    ):
        if wanted and stream is None:
            flag = "video" if name == "picture" else "audio"
            raise MediaError(
                f"{file.path}: has {other} but no {name}; give a file with {name}, or ask for "
                f"its {other} only ({flag}=False)"
            )


def seek(file: MediaFile, time_s: float) -> bool:
    """Go to the key frame before a time; whether the file can."""
    try:
        file.container.seek(round((time_s + file.zero_s) * av.time_base))
    except av.error.FFmpegError:
        return False
    return True


def frames_of(
    file: MediaFile, streams: Sequence[av.VideoStream | av.AudioStream]
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames in the file's order; damaged packets are skipped, as players do."""
    for packet in packets_of(file, streams):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def packets_of(
    file: MediaFile, streams: Sequence[av.VideoStream | av.AudioStream]
) -> Iterator[av.Packet]:
    """Packets in the file's order, then one that flushes each decoder, even if the file breaks."""
    packets = iter(file.container.demux(*streams))
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


def last_time_s(file: MediaFile) -> float:
    """Where the last packet ends, seconds: for files whose header does not tell."""
    end_s = 0.0
    streams = [s for s in (file.video, file.audio) if s]
    for packet in packets_of(file, streams):
        if packet.pts is not None and packet.time_base is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return max(0.0, end_s - file.zero_s)

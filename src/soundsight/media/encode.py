"""Write clips as files that play anywhere: mp4, gif, wav and png.

Every write is atomic: the file is made under a temporary name in the same folder, flushed to disk
and only then renamed, so a full disk or a killed process leaves the old file or none, never half.
One thread encodes, so the same clip gives the same bytes.
"""

import errno
import os
import uuid
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from jaxtyping import Float32, UInt8

from soundsight.media.clip import Clip
from soundsight.media.picture import AVERAGING

MP4_SAMPLE_RATES = (32000, 44100, 48000)
"""Rates, Hz, that every browser plays as AAC; other sound is resampled to the last one."""
MP4_SOUND_BITS = 192_000
"""Bits per second of AAC; at 128,000 the encoder garbles a sound that begins at once."""
MP4_QUALITY = "12"
"""x264's constant rate factor; 12 is visually lossless, and small pictures need few bits."""
INT16_MAX = 32767


def encode(clip: Clip, path: str | Path, *, index: int = 0, scale: int = 1) -> Path:
    """Write one clip of a batch; the suffix says how.

    `.mp4`: H.264 with AAC sound, or whichever of the two the clip has; an odd side (which H.264
    cannot hold) is doubled by repeating pixels. `.gif`: the frames, endlessly, without sound; times
    are rounded to 1/100 s. `.wav`: the sound, 16 bit. `.png`: the first frame.

    Args:
        clip: a batch; values outside the public ranges are cut off.
        path: file to write; an existing one is replaced.
        index: which clip of the batch.
        scale: enlargement of the pictures by repeating pixels, for viewing.

    Returns:
        The path.

    Raises:
        ValueError: if suffix, index or scale is none of the choices, the clip lacks the part, or
            holds a value that is not finite.
        OSError: naming the file, if it cannot be written; nothing is left then.
    """
    path = Path(path)
    writers: dict[str, tuple[str, Callable[[Clip, Path, int], None]]] = {
        ".mp4": ("video or audio", _write_mp4),
        ".gif": ("video", _write_gif),
        ".wav": ("audio", _write_wav),
        ".png": ("video", _write_png),
    }
    if path.suffix.lower() not in writers:
        raise ValueError(
            f"{path}: cannot write the suffix {path.suffix!r}; choose one of {', '.join(writers)}"
        )
    needs, write = writers[path.suffix.lower()]
    one = _pick(clip, index, scale)
    if not set(needs.split(" or ")) & set(one.parts()):
        have = ", ".join(clip.parts())
        raise ValueError(f"{path}: {path.suffix} needs {needs}; the clip has only {have}")
    with whole_file(path) as part:
        write(one, part, scale)
    return path


def film_strip(clip: Clip, path: str | Path, *, scale: int = 1) -> Path:
    """Write all frames of every clip as a PNG: a clip is a row, its first frame on the left.

    Args:
        clip: a batch with video.
        path: file to write; an existing one is replaced.
        scale: enlargement by repeating pixels, for viewing.

    Returns:
        The path.

    Raises:
        ValueError: if the suffix is not .png, or the clip has no video.
        OSError: naming the file, if it cannot be written; nothing is left then.
    """
    path = Path(path)
    if path.suffix.lower() != ".png" or clip.video is None:
        raise ValueError(f"{path}: a film strip needs a clip with video and the suffix .png")
    rows = [_pixels(_pick(clip, index, scale), scale) for index in range(len(clip))]
    image = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    with whole_file(path) as part:
        part.write_bytes(_png(image))
    return path


@contextmanager
def whole_file(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Give a temporary name to write to; on leaving, it becomes `path`, or vanishes on an error.

    Args:
        path: file to make or replace.
        sync: whether its bytes are on the disk before it appears: without, a loss of power (not a
            killed process) may leave a torn file.

    Raises:
        OSError: naming `path`, if anything cannot be written.
    """
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
        if sync:
            with part.open("rb") as file:
                os.fsync(file.fileno())
        part.replace(path)
    except (OSError, av.error.FFmpegError) as error:
        number = error.errno if error.errno in errno.errorcode else errno.EIO
        reason = os.strerror(number or errno.EIO)
        raise OSError(number, f"cannot write: {reason}", str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def _pick(clip: Clip, index: int, scale: int) -> Clip:
    """One checked clip on the CPU."""
    if scale < 1:
        raise ValueError(f"scale={scale} must be at least 1")
    if not 0 <= index < len(clip):
        raise ValueError(f"index={index} must be between 0 and {len(clip) - 1}")
    one = clip[index : index + 1].to("cpu")
    for name, part in one.parts().items():
        if not torch.isfinite(part).all():
            raise ValueError(f"{name} of clip {index} holds values that are not finite")
        if part.ndim > 1 and not part.shape[1]:
            raise ValueError(f"{name} of clip {index} is empty")
    return one


def _pixels(clip: Clip, scale: int) -> UInt8[np.ndarray, "t h w 3"]:
    """The only clip's frames as RGB bytes, enlarged."""
    assert clip.video is not None
    video = clip.video[0].detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    images = video.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
    return np.ascontiguousarray(images.repeat(scale, axis=1).repeat(scale, axis=2))


def _wave(clip: Clip) -> Float32[np.ndarray, " n"]:
    """The only clip's sound, within [-1, 1]."""
    assert clip.audio is not None
    return clip.audio[0].detach().clamp(-1, 1).numpy()


def _rate(clip: Clip) -> Fraction:
    """Frames per second as the exact fraction that it stands for."""
    return Fraction(clip.spec.fps).limit_denominator(1001)


def _write_wav(clip: Clip, part: Path, scale: int) -> None:
    with part.open("xb") as raw, wave.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(clip.spec.sample_rate)
        file.writeframes(np.round(_wave(clip) * INT16_MAX).astype("<i2").tobytes())


def _write_png(clip: Clip, part: Path, scale: int) -> None:
    part.write_bytes(_png(_pixels(clip, scale)[0]))


def _png(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    codec = av.CodecContext.create("png", "w")
    assert isinstance(codec, av.VideoCodecContext)
    codec.height, codec.width = image.shape[:2]
    codec.pix_fmt, codec.time_base = "rgb24", Fraction(1, 25)
    packets = [*codec.encode(av.VideoFrame.from_ndarray(image, "rgb24")), *codec.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _write_gif(clip: Clip, part: Path, scale: int) -> None:
    """One palette for the whole clip, so that still parts do not flicker."""
    images = _pixels(clip, scale)
    height, width = images.shape[1:3]
    tick = 1 / _rate(clip)
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("rgb24"), time_base=tick
    )
    split, palette = graph.add("split"), graph.add("palettegen")
    painter, sink = graph.add("paletteuse"), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0)
    palette.link_to(painter, 0, 1)
    split.link_to(painter, 1, 0)
    painter.link_to(sink)
    graph.configure()
    with av.open(f"file:{part}", "w", format="gif") as out:
        stream = out.add_stream("gif", rate=_rate(clip))
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = tick
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = k, tick
            graph.push(frame)
        graph.push(None)
        for _ in images:
            out.mux(stream.encode(graph.vpull()))
        out.mux(stream.encode(None))


def _write_mp4(clip: Clip, part: Path, scale: int) -> None:
    per_frame = clip.spec.samples_per_frame
    options = {"movflags": "+faststart"}  # The index first: plays while it still loads.
    with av.open(f"file:{part}", "w", format="mp4", options=options) as out:
        write_picture = write_sound = None
        steps = 0
        if clip.video is not None:
            images = _pixels(clip, scale * (1 + scale * clip.spec.size % 2))
            write_picture = _picture_writer(out, images.shape[1], _rate(clip))
            steps = len(images)
        if clip.audio is not None:
            sound = _wave(clip)
            write_sound = _sound_writer(out, clip.spec.sample_rate)
            steps = max(steps, -(-len(sound) // per_frame))
        for k in range(steps):  # Interleaved, as a player reads them.
            if write_picture and k < len(images):
                write_picture(images[k], k)
            if write_sound and k * per_frame < len(sound):
                write_sound(sound[k * per_frame : (k + 1) * per_frame], k * per_frame)
        for stream in out.streams:
            out.mux(stream.encode(None))  # type: ignore[attr-defined]


def _picture_writer(
    out: av.container.OutputContainer, side: int, rate: Fraction
) -> Callable[[UInt8[np.ndarray, "h w 3"], int], None]:
    """Add an H.264 stream; the returned function writes frame number k of it."""
    # With B frames x264's AVX-512 code gives other bytes once in about 200 clips.
    options = {"crf": MP4_QUALITY, "x264-params": "bframes=0"}
    stream = out.add_stream("libx264", rate=rate, options=options)
    stream.width = stream.height = side
    stream.pix_fmt = "yuv420p"
    codec = stream.codec_context
    codec.thread_count, codec.time_base = 1, 1 / rate
    codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    reformatter = VideoReformatter()

    def write(image: UInt8[np.ndarray, "h w 3"], k: int) -> None:
        frame = reformatter.reformat(
            av.VideoFrame.from_ndarray(image, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            interpolation=AVERAGING,
            threads=1,
        )
        frame.pts, frame.time_base = k, 1 / rate
        out.mux(stream.encode(frame))

    return write


def _sound_writer(
    out: av.container.OutputContainer, sample_rate: int
) -> Callable[[Float32[np.ndarray, " n"], int], None]:
    """Add an AAC stream; the returned function writes a piece that begins at sample i."""
    kept = sample_rate if sample_rate in MP4_SAMPLE_RATES else MP4_SAMPLE_RATES[-1]
    stream = out.add_stream("aac", rate=kept, layout="mono", bit_rate=MP4_SOUND_BITS)

    def write(piece: Float32[np.ndarray, " n"], i: int) -> None:
        frame = av.AudioFrame.from_ndarray(piece[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = sample_rate, Fraction(1, sample_rate)
        frame.pts = i
        out.mux(stream.encode(frame))

    return write

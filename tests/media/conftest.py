"""Small real files with a flash and a click, written by PyAV without the code under test."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

MovieMaker = Callable[..., Path]


def click_track(seconds: float, rate: int, click_s: float) -> np.ndarray:
    """A 20 ms burst of 500 Hz in otherwise silent mono sound, from `click_s` on."""
    t = np.arange(round(seconds * rate)) / rate
    wave = np.sin(2 * np.pi * 500 * (t - click_s) + np.pi / 2)
    return (0.9 * wave * ((t >= click_s) & (t < click_s + 0.02))).astype(np.float32)


def write_movie(
    path: Path,
    *,
    times: Sequence[float] | None = None,
    seconds: float = 2.0,
    fps: int = 25,
    width: int = 64,
    height: int = 48,
    flash_s: float | None = 1.0,
    click_s: float | None = 1.0,
    codecs: tuple[str, str] = ("libx264", "aac"),
    rate: int = 44100,
    layout: str = "mono",
    picture_offset_s: float = 0.0,
    sound_offset_s: float = 0.0,
    sound_seconds: float | None = None,
    rotation: int = 0,
    image: Callable[[float], np.ndarray] | None = None,
    picture: bool = True,
    sound: bool = True,
    format: str | None = None,
    options: dict[str, str] | None = None,
    gop: int = 12,
    aspect: Fraction | None = None,
) -> Path:
    """Write a movie; `flash_s` and `click_s` are times on the file's own time stamps."""
    sound_seconds = seconds if sound_seconds is None else sound_seconds
    times = [k / fps for k in range(round(seconds * fps))] if times is None else times
    with av.open(path, "w", format=format, options=options or {}) as out:
        v = a = None
        if picture:
            v = out.add_stream(codecs[0], rate=fps)
            v.width, v.height = width, height
            v.pix_fmt = "yuv420p" if codecs[0] != "mjpeg" else "yuvj420p"
            v.codec_context.thread_count = 1
            v.codec_context.gop_size = gop
            is_constant = path.suffix in (".avi", ".mpg")
            v.codec_context.time_base = Fraction(1, fps if is_constant else 1000)
            if codecs[0] == "libx264":
                v.options = {"preset": "ultrafast", "crf": "10"}
            if aspect is not None:
                v.codec_context.sample_aspect_ratio = aspect
            if rotation:
                v.set_display_rotation(rotation)
        if sound:
            a = out.add_stream(codecs[1], rate=rate, layout=layout)
        for s in times if v else ():
            shown = image(s) if image else np.full((height, width, 3), 20, np.uint8)
            if image is None and flash_s is not None and flash_s <= s + picture_offset_s + 1e-9:
                shown[:] = 235 if s + picture_offset_s < flash_s + 0.2 else 20
            frame = av.VideoFrame.from_ndarray(shown, "rgb24").reformat(format=v.pix_fmt)
            base = v.codec_context.time_base
            frame.time_base = base
            frame.pts = round((s + picture_offset_s) / base)
            out.mux(v.encode(frame))
        if v:
            out.mux(v.encode(None))
        if a:
            mono = np.zeros(round(sound_seconds * rate), np.float32)
            if click_s is not None:
                mono = click_track(sound_seconds, rate, click_s - sound_offset_s)
            frame = av.AudioFrame.from_ndarray(
                np.repeat(mono[None], len(av.AudioLayout(layout).channels), 0), "fltp", layout
            )
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = round(sound_offset_s * rate)
            out.mux(a.encode(frame))
            out.mux(a.encode(None))
    return path


@pytest.fixture
def movie(tmp_path: Path) -> MovieMaker:
    """Write a movie of that name under tmp_path; see `write_movie`."""

    def make(name: str = "movie.mp4", **options: object) -> Path:
        return write_movie(tmp_path / name, **options)

    return make


def flash_time(video: np.ndarray, fps: float) -> float:
    """When the first bright frame of (t, c, h, w) begins, seconds."""
    bright = video.mean(axis=(1, 2, 3)) > 0.5
    assert bright.any()
    return float(np.argmax(bright)) / fps


def click_time(wave: np.ndarray, rate: int) -> float:
    """When a waveform first exceeds a quarter of its peak, seconds."""
    assert np.abs(wave).max() > 0.1
    return float(np.argmax(np.abs(wave) > 0.25 * np.abs(wave).max())) / rate

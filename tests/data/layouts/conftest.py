"""Small files of every kind that the published data sets are made of."""

import gzip
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode


def write_wav(path: Path, wave: np.ndarray, rate: int) -> Path:
    """A 16-bit mono WAV file; the suffix may be in any case."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = ClipSpec(1, fps=1, size=1, sample_rate=rate)
    made = encode(Clip(spec, audio=torch.from_numpy(wave)[None].float()), path.with_suffix(".wav"))
    return made if made.name == path.name else made.rename(path)


def write_jpg(path: Path, grey: int, side: int = 16) -> Path:
    """A JPEG file of one grey, 16 x 16 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = np.full((side * 3 // 2, side), 128, np.uint8)  # Luma above, chroma below.
    planes[:side] = grey
    codec = av.CodecContext.create("mjpeg", "w")
    codec.width = codec.height = side
    codec.pix_fmt, codec.time_base = "yuvj420p", Fraction(1, 25)
    codec.bit_rate, codec.qmin, codec.qmax = 10_000_000, 1, 2
    frame = av.VideoFrame.from_ndarray(planes, "yuvj420p")
    path.write_bytes(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)]))
    return path


def write_mp4(path: Path, seconds: int = 1) -> Path:
    """A grey video with a tone, 8 x 8 pixels, 25 frames a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = ClipSpec(25 * seconds, fps=25, size=8, sample_rate=16000)
    tone = torch.sin(torch.arange(spec.samples) * 0.3)[None] / 2
    return encode(Clip(spec, torch.full((1, spec.frames, 1, 8, 8), 0.5), tone), path)


def write_idx(path: Path, array: np.ndarray) -> Path:
    """MNIST's format, gzipped if the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    raw = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def noise(seconds: float, rate: int, seed: int) -> np.ndarray:
    """Noise at -9 dBFS or so, never the same for two seeds."""
    return np.random.default_rng(seed).uniform(-0.6, 0.6, round(seconds * rate)).astype(np.float32)


def touch(*paths: Path) -> None:
    """Files without content, for what goes by names alone."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write_take(
    root: Path, split: str, instrument: str, number: str, labels: range, rate: int = 44100
) -> np.ndarray:
    """One recording of Sub-URMP: images of grey ms / 14, and sounds; returns its whole sound."""
    whole = noise(labels[-1] / 1000, rate, seed=sum(map(ord, instrument + number)))
    for ms in labels:
        name = f"{instrument}/{instrument}{number}_{ms}"
        write_jpg(root / "img" / split / f"{name}.jpg", ms // 14)
        window = whole[(ms - 500) * rate // 1000 : ms * rate // 1000]
        write_wav(root / "chunk" / split / f"{name}.wav", window, rate)
    return whole


@pytest.fixture
def make() -> type:
    """The functions of this file, for tests."""

    class Make:
        wav, jpg, mp4, idx = map(staticmethod, (write_wav, write_jpg, write_mp4, write_idx))
        noise, touch, take = map(staticmethod, (noise, touch, write_take))

    return Make


@pytest.fixture
def looped(tmp_path: Path) -> Callable[[Path], None]:
    """Puts a link that leads back up into a folder."""

    def loop(folder: Path) -> None:
        (folder / "again").symlink_to(tmp_path, target_is_directory=True)

    return loop

"""Read clips that others have cut: their images, and their sounds joined end to end.

Sounds are joined at their own rate and resampled once, as one: resampled one by one, each would
fade at its ends, and every clip would have the same flaw at its seam. Then they are followed by
silence, or lose their end, so as to last as long as the clip.

Names may carry a place behind a "#": "FILE#i" is image i of an IDX file (MNIST's format), and
"FILE#t=S" the sound of a file from S seconds on.

A clip that cannot be read, or whose sounds do not belong together, is a `Dropped` with the reason;
other clips of the album are not affected.
"""

import math
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8

from soundsight.data.digits import read_idx_of
from soundsight.data.source import Album, Bridge, Dropped, Moment, RawClip
from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError, decode, decode_image, probe

SEAM_CORRELATION = 0.9
"""What is joined must be at least this like the sound across the seam: 1 is the same but for its
level; other music scores near 0, and 16-bit rounding of the same sound above 0.99."""
SEAM_PART_S = 0.01
"""Less of a bridge on one side of a seam than this is not compared, seconds."""
SEAM_SILENCE = 1e-4
"""Root mean square below which two sounds are both silence, and so alike (-80 dBFS)."""
GUARD_S = 0.1
"""Silence behind a sound to be resampled, so that its end does not ring into its start, seconds."""
TAPER = 0.05
"""Share of the band kept by resampling that fades out at its top, against ringing."""


class _Sound(NamedTuple):
    """Sound at a rate of its own."""

    wave: Float32[np.ndarray, " n"]
    rate: int


def read_album(album: Album, spec: ClipSpec) -> Iterator[RawClip | Dropped]:
    """The clips of an album.

    Args:
        album: images and sounds of every clip.
        spec: frames that a clip must have, size, channels and rates to make.

    Yields:
        One `RawClip` or `Dropped` per moment, in the album's order: frames in 0 ... 255, shape
        (spec.frames, size, size, channels), and sound in [-1, 1], shape (spec.samples,).
    """
    for moment in album.moments:
        reason = _misfit(moment, spec)
        if reason is None:
            try:
                joined, seams = _join(moment.sounds, spec.seconds)
                reason = _torn_seam(moment.bridges, joined, seams)
                if reason is None:
                    frames = np.stack([_image(name, spec) for name in moment.images])
                    wave = _fit(resample(joined.wave, joined.rate, spec.sample_rate), spec.samples)
                    yield RawClip(moment.name, moment.start_s, frames, wave)
                    continue
            except (ValueError, OSError, MemoryError) as error:
                reason = f"unreadable: {' '.join(str(error).split())}"
        yield Dropped(moment.name, moment.start_s, reason)


def resample(
    wave: Float32[np.ndarray, " n"], from_rate: int, to_rate: int
) -> Float32[np.ndarray, " m"]:
    """Change the rate of a whole sound, without delay, by cutting or filling up its spectrum.

    Args:
        wave: in [-1, 1].
        from_rate: its samples per second.
        to_rate: those of the result.

    Returns:
        In [-1, 1], m = n * to_rate / from_rate, rounded. What lies above the lower of the two
        Nyquist frequencies is gone, the last twentieth below it faded.
    """
    if from_rate == to_rate or not len(wave):
        return wave
    divisor = math.gcd(from_rate, to_rate)
    down, up = from_rate // divisor, to_rate // divisor
    blocks = -(-(len(wave) + round(GUARD_S * from_rate)) // down)
    spectrum = np.fft.rfft(wave.astype(np.float64), blocks * down)
    kept = blocks * min(down, up) // 2 + 1
    place = np.linspace(0, 1, kept)  # 0 is 0 Hz, 1 the lower Nyquist frequency.
    fade = 0.5 - 0.5 * np.cos(np.pi * np.clip((1 - place) / TAPER, 0, 1))
    result = np.fft.irfft(spectrum[:kept] * fade, blocks * up) * (up / down)
    return np.clip(result[: round(len(wave) * up / down)], -1, 1).astype(np.float32)


def read_idx(path: Path, *, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of bytes, gzipped or not.

    Args:
        path: the file.
        dimensions: that it must have: 3 for images (m, h, w), 1 for their classes (m,).

    Raises:
        ValueError: if it is no such file.
        OSError: if it cannot be read.
    """
    return read_idx_of(path.parent, path.name.removesuffix(".gz"), dimensions=dimensions)


def _misfit(moment: Moment, spec: ClipSpec) -> str | None:
    """Why a moment cannot be a clip of this spec, before anything is opened."""
    if len(moment.images) != spec.frames:
        return f"images: has {len(moment.images)}; a clip needs {spec.frames}, one for each frame"
    return None if moment.sounds else "sounds: has none; a clip needs one at least"


# Pictures.


@lru_cache(
    maxsize=2
)  # MNIST's two files of images: reading one takes longer than a thousand clips.
def _idx_images(path: Path) -> UInt8[np.ndarray, "m h w"]:
    return read_idx(path, dimensions=3)


def _image(name: str, spec: ClipSpec) -> UInt8[np.ndarray, "h w c"]:
    """An image file, or "FILE#i" of an IDX file, at the spec's size."""
    match = re.fullmatch(r"(.+)#(\d+)", name)
    if match is None:
        video = decode_image(name, spec).video
        assert video is not None
        pixels = video[0, 0].permute(1, 2, 0)
        return pixels.mul(255).round().to(torch.uint8).numpy()
    images = _idx_images(Path(match[1]))
    if int(match[2]) >= len(images):
        raise MediaError(f"{name}: no such image; the file holds {len(images)}")
    image = torch.from_numpy(images[int(match[2])]).float()[None, None]
    if image.shape[2:] != (spec.size, spec.size):
        image = F.interpolate(image, (spec.size, spec.size), mode="bicubic", antialias=True)
    grey = image[0, 0].clamp(0, 255).round().to(torch.uint8).numpy()
    return np.repeat(grey[..., None], spec.channels, axis=2)


# Sound.


def _join(names: Sequence[str], most_s: float) -> tuple[_Sound, list[int]]:
    """Sounds end to end, as far as they are needed, and the samples at which new ones begin.

    Raises:
        MediaError: if one cannot be read, or their rates differ.
    """
    sounds: list[_Sound] = []
    seams: list[int] = []
    have = 0
    for name in names:
        left_s = most_s - (have / sounds[0].rate if sounds else 0.0)
        if left_s <= 0:
            break
        sound = _sound(name, left_s)
        if sounds and sound.rate != sounds[0].rate:
            raise MediaError(
                f"{name}: {sound.rate} Hz, but the sound before it {sounds[0].rate} Hz; "
                "sounds to be joined must have one rate"
            )
        if have:
            seams.append(have)
        sounds.append(sound)
        have += len(sound.wave)
    return _Sound(np.concatenate([sound.wave for sound in sounds]), sounds[0].rate), seams


def _sound(name: str, most_s: float) -> _Sound:
    """The sound of a file, or of "FILE#t=S" from S seconds on, at its own rate, mixed to mono.

    Raises:
        MediaError: if it cannot be read, or ends before S.
    """
    match = re.fullmatch(r"(.+)#t=(\d+(?:\.\d+)?)", name)
    path, start_s = (match[1], float(match[2])) if match else (name, 0.0)
    info = probe(path)
    rate = info.sample_rate
    if not info.has_audio or not rate:
        raise MediaError(f"{path}: has no sound; give a sound file")
    seconds = min(most_s, info.seconds - start_s)
    count = round(seconds * rate)
    if count <= 0:
        raise MediaError(
            f"{path}: lasts {info.seconds:.3f} s; its sound from {start_s:g} s is asked"
        )
    fps = math.gcd(rate, 100)  # Any that divides the rate; the finer, the less is filled up.
    whole = ClipSpec(math.ceil(seconds * fps - 1e-6), fps=fps, sample_rate=rate)
    audio = decode(path, whole, start_s=start_s, video=False).audio
    assert audio is not None
    return _Sound(audio[0].numpy()[:count], rate)


def _fit(wave: Float32[np.ndarray, " n"], samples: int) -> Float32[np.ndarray, " m"]:
    """The first `samples` of a sound, silence behind it if it is shorter."""
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def _torn_seam(bridges: Sequence[Bridge], joined: _Sound, seams: Sequence[int]) -> str | None:
    """Why the joined sounds do not belong together, if a bridge tells so.

    Each side of a seam is compared on its own, or a loud side would outvote the other.
    """
    for bridge in bridges:
        start = round(bridge.start_s * joined.rate)
        part = joined.wave[start:]
        sound = _sound(bridge.path, max(len(part) / joined.rate, 1 / joined.rate))
        if sound.rate != joined.rate:
            return f"seam: {bridge.path} has {sound.rate} Hz; the sounds have {joined.rate} Hz"
        length = min(len(part), len(sound.wave))
        inner = [seam - start for seam in seams if 0 < seam - start < length]
        for begin, end in pairwise([0, *inner, length]):
            if end - begin < SEAM_PART_S * joined.rate:
                continue
            likeness = _correlation(part[begin:end], sound.wave[begin:end])
            if likeness < SEAM_CORRELATION:
                return (
                    f"seam: correlation {likeness:.2f} with {bridge.path}, which lies across it; "
                    f"at least {SEAM_CORRELATION:g}"
                )
    return None


def _correlation(a: Float32[np.ndarray, " n"], b: Float32[np.ndarray, " n"]) -> float:
    """Normalised correlation at no lag, -1 to 1; silence is like silence, and like nothing else."""
    power_a, power_b, shared = (
        float(np.mean(np.multiply(x, y, dtype=np.float64))) for x, y in ((a, a), (b, b), (a, b))
    )
    quiet = SEAM_SILENCE**2
    if power_a < quiet and power_b < quiet:
        return 1.0
    return shared / max((power_a * power_b) ** 0.5, quiet)

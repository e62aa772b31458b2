"""Pictures of generated clips, in which the sound is seen as well."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.encode import film_strip
from soundsight.media.spectrogram import stft_magnitude

VIEW_PX = 192
"""Small pictures are enlarged to about this many pixels when they are written for people."""
FRAMES_SHOWN = 12
"""Frames of a row, at most."""
SOUND_TILES = 3
"""Width of the picture of a sound, in frames."""
WINDOW_S = 0.032
"""Length of a window of the spectrogram, seconds."""
DARKEST_DB = -60.0
"""Level that is black, against a sine at full scale, which is white."""


def view_scale(spec: ClipSpec) -> int:
    """Enlargement that brings small pictures to about `VIEW_PX`."""
    return max(1, round(VIEW_PX / spec.size))


def sound_picture(
    audio: Float[Tensor, "b n"], *, sample_rate: int, size: int
) -> Float[Tensor, "b h w"]:
    """Spectrograms as grey pictures: time to the right, frequency upwards, level as brightness.

    Args:
        audio: waveforms in [-1, 1], shape (b, n), at least 4 samples.
        sample_rate: Hz.
        size: height h, pixels, for 0 to half the sample rate.

    Returns:
        Values in [0, 1], 0 for -60 dB and less, 1 for a sine at full scale, linear in dB between;
        shape (b, size, 3 * size).
    """
    n_fft = max(4, min(2 * round(WINDOW_S * sample_rate / 2), 2 * (audio.shape[1] // 2)))
    magnitude = stft_magnitude(audio, n_fft=n_fft, hop_length=max(1, n_fft // 4)) / (n_fft / 4)
    # The loudest of what a pixel covers, so that a thin line stays one.
    pooled = F.adaptive_max_pool2d(magnitude, (size, SOUND_TILES * size))
    level_db = 20 * pooled.clamp(min=1e-9).log10()
    return (1 - level_db / DARKEST_DB).clamp(0, 1).flip(1)


def write_rows(clip: Clip, path: Path, *, scale: int = 1) -> Path:
    """Write a PNG with a row for each clip: frames from the left, then the picture of its sound.

    Args:
        clip: a batch with video; up to `FRAMES_SHOWN` frames of each, evenly chosen, are shown.
        path: file to write; an existing one is replaced.
        scale: enlargement by repeating pixels.

    Raises:
        OSError: naming the file, if it cannot be written.
    """
    assert clip.video is not None
    have = clip.video.shape[1]
    places = torch.linspace(0, have - 1, min(FRAMES_SHOWN, have)).round().long()
    tiles = clip.video[:, places]
    if clip.audio is not None:
        size, rate = clip.spec.size, clip.spec.sample_rate
        sound = sound_picture(clip.audio, sample_rate=rate, size=size).to(tiles)
        squares = sound.unflatten(2, (SOUND_TILES, size)).movedim(2, 1)[:, :, None]
        tiles = torch.cat([tiles, squares.expand(-1, -1, clip.spec.channels, -1, -1)], dim=1)
    return film_strip(Clip(clip.spec, tiles), path, scale=scale)

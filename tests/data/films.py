"""Little films with sound in which everything moves and sounds, so that no filter drops them."""

from pathlib import Path

import numpy as np
import torch

from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

SPEC = ClipSpec(frames=5, fps=5.0, size=16, channels=3, sample_rate=4000)
"""What the tests prepare: a second, small."""


def film(seconds: float, seed: int, *, fps: int = 10, size: int = 32, rate: int = 8000) -> Clip:
    """A patterned square that wanders over a pattern, with a melody; no two seeds alike."""
    rng = np.random.default_rng(seed)
    frames, step = round(seconds * fps), 4
    low = rng.random((size // step, size // step, 3))
    ground = np.kron(low, np.ones((step, step, 1)))
    square = np.kron(rng.random((3, 3, 3)), np.ones((4, 4, 1)))
    place = np.cumsum(rng.integers(-3, 4, (frames, 2)), axis=0) % (size - 12)
    video = np.repeat(ground[None], frames, axis=0)
    for k, (x, y) in enumerate(place):
        video[k, y : y + 12, x : x + 12] = square
    notes = rng.integers(200, 1500, round(seconds * 4) + 1)
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(notes[(t * 4).astype(int)]) / rate
    wave = 0.3 * np.sin(phase) * (0.4 + 0.6 * ((t * 4) % 1))
    return Clip(
        ClipSpec(frames=frames, fps=fps, size=size, channels=3, sample_rate=rate),
        video=torch.from_numpy(video).float().permute(0, 3, 1, 2)[None],
        audio=torch.from_numpy(wave).float()[None],
    )


def write_film(path: Path, seconds: float = 2.0, seed: int = 0) -> Path:
    """Write a film as mp4; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return encode(film(seconds, seed), path)


def write_films(folder: Path, number: int, seconds: float = 2.0) -> Path:
    """Write films a.mp4, b.mp4, ... of different lengths."""
    for i in range(number):
        write_film(folder / f"{chr(97 + i)}.mp4", seconds + i % 3, seed=i)
    return folder

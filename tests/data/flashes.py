"""Films in which something flashes and clicks, the click as late as wanted."""

import numpy as np

from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=75, fps=25, size=32, channels=1, sample_rate=8000)


def flashes(seed: int, late_s: float, spec: ClipSpec = SPEC):
    """Patches that appear here and there, each with a click `late_s` after it; grain and hiss."""
    rng = np.random.default_rng(seed)
    video = 60 + rng.normal(size=(spec.frames, 32, 32, 1))
    sound = 1e-3 * rng.normal(size=spec.samples)
    length = spec.sample_rate // 40
    click = 0.5 * np.exp(-np.arange(length) / (length / 5))
    at = int(rng.integers(2, 12))
    while at < spec.frames - 4:
        x, y = rng.integers(0, 24, 2)
        video[at : at + int(rng.integers(2, 8)), y : y + 8, x : x + 8] += 100
        start = at * spec.samples_per_frame + round(late_s * spec.sample_rate)
        room = len(sound[max(start, 0) : max(start, 0) + length])
        if start >= 0:
            sound[start : start + room] += (click * rng.normal(size=length))[:room]
        at += int(rng.integers(spec.fps // 3 + 1, spec.fps))
    return np.clip(video, 0, 255).astype(np.uint8), sound.astype(np.float32)

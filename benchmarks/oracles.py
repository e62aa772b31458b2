"""How well the orchestra's judge reads clean and spoilt clips: `python -m benchmarks.oracles`.

The tables of docs/data/orchestra.md: shares of clips of the test split, seed 1.
"""

import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

from soundsight.data.orchestra import Orchestra
from soundsight.data.orchestra_notes import LOWS, SPANS
from soundsight.data.orchestra_oracle import hear, look, nearest_pitches, synchrony
from soundsight.media.clip import Clip, ClipSpec

PAIRS = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44_100)
"""One picture and half a second of sound."""
ONSET = ClipSpec(frames=1, fps=50)
"""A heard onset counts if it is within a frame of this: 20 ms."""
CLIPS = 390


def spoil(clip: Clip, *, hiss: float, grain: float, blur: int) -> Clip:
    """Add white noise to sound and picture, and bring the picture down and up again.

    Args:
        clip: what to spoil.
        hiss: standard deviation of the noise on samples.
        grain: of the noise on pixels.
        blur: side of the squares that are averaged, pixels.
    """
    assert clip.audio is not None
    assert clip.video is not None
    generator = torch.Generator().manual_seed(0)
    audio = clip.audio + hiss * torch.randn(clip.audio.shape, generator=generator)
    video = clip.video + grain * torch.randn(clip.video.shape, generator=generator)
    if blur > 1:
        small = F.avg_pool2d(video.flatten(0, 1), blur)
        large = F.interpolate(small, scale_factor=blur, mode="bilinear")
        video = large.unflatten(0, video.shape[:2])
    return clip.replace(audio=audio, video=video.clamp(0, 1))


def measure(
    spec: ClipSpec, clips: int = CLIPS, *, hiss: float = 0.0, grain: float = 0.0, blur: int = 1
) -> dict[str, float]:
    """Accuracies of `hear` and `look`, and synchrony, on the first clips of the test split."""
    data = Orchestra().build(spec, "test")
    truth = data.truth(range(clips))
    clip = spoil(data.clips(range(clips)), hiss=hiss, grain=grain, blur=blur)
    heard, seen = hear(clip.audio, spec), look(clip.video, spec)
    there = np.isfinite(truth.midi)
    error = nearest_pitches(heard, truth.sound_onset_s)[there] - truth.sound_midi[there]
    onsets = synchrony(list(truth.sound_onset_s), heard.onsets, ONSET)
    strokes = synchrony(list(truth.onset_s), seen.strokes, spec)
    at_rest = (truth.phase > 0.4) | (truth.phase == 0)
    lows, spans = np.array(LOWS)[truth.classes], np.array(SPANS)[truth.classes]
    shown = lows[:, None] + spans[:, None] * truth.pose
    shuffled = heard.onsets[1:] + heard.onsets[:1]
    found = {
        "heard class": (heard.classes == truth.sound_classes).mean(),
        "heard pitch": (abs(error) < 1).mean(),
        "heard onsets, of the true": onsets.onset_share,
        "heard onsets, of the found": onsets.stroke_share,
        "heard confidence": heard.confidence.mean(),
        "seen class": (seen.classes == truth.classes).mean(),
        "seen pitch, hand at rest": (abs(seen.midi - shown) <= 1)[at_rest].mean(),
        "seen confidence": seen.confidence.mean(),
    }
    if spec.frames > 1:
        found |= {
            "seen strokes, of the true": strokes.onset_share,
            "seen strokes, of the found": strokes.stroke_share,
            "synchrony": synchrony(heard.onsets, seen.strokes, spec).f1,
            "synchrony, sound of the next clip": synchrony(shuffled, seen.strokes, spec).f1,
        }
    return {name: round(float(value), 3) for name, value in found.items()}


def main() -> None:
    """Print all of it as JSON; two minutes."""
    torch.set_num_threads(1)
    slow = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16_000)
    found = {
        "pairs": measure(PAIRS),
        "clips, 10 fps": measure(slow),
        "clips, 25 fps": measure(ClipSpec(25, 25, 64, 3, 16_000), CLIPS // 3),
    }
    for hiss, grain in ((0.01, 0.1), (0.03, 0.2), (0.1, 0.4)):
        name = f"pairs, noise of {hiss} on sound and {grain} on pictures"
        found[name] = measure(PAIRS, hiss=hiss, grain=grain)
    for blur in (2, 4):
        found[f"pairs, pictures brought down {blur} times"] = measure(PAIRS, blur=blur)
    found["pairs, grey"] = measure(ClipSpec(1, 2, 64, 1, 44_100))
    for size in (48, 32):
        found[f"pairs, {size} px"] = measure(ClipSpec(1, 2, size, 3, 44_100))
    json.dump(found, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()

"""Fooling rate: two heads by hand."""

import pytest
import torch

from soundsight.evaluation.fooling import fooling_rate
from soundsight.media.clip import Clip, ClipSpec

SPEC = ClipSpec(frames=4, size=8, fps=10.0, sample_rate=100)


def brightness(clip: Clip) -> dict[str, torch.Tensor]:
    level = clip.video.mean((-3, -2, -1))
    return {"frame": level, "motion": level[:, 2:]}


def still(*levels: float) -> Clip:
    video = torch.tensor(levels).reshape(-1, 4, 1, 1, 1).expand(-1, -1, 1, 8, 8)
    return Clip(SPEC, video=video.contiguous())


def test_share_of_the_last_frames_by_head():
    generated = still(0.9, 0.9, 0.1, 0.8, 0.9, 0.2, 0.3, 0.4)
    found = fooling_rate(brightness, generated, still(*[0.9] * 7, 0.2), frames=3)
    assert found["frame"].rate.tolist() == pytest.approx([2 / 3, 0])
    assert found["frame"].real_accuracy.tolist() == pytest.approx([1, 2 / 3])
    assert found["motion"].rate.tolist() == [0.5, 0]
    strict = fooling_rate(brightness, generated, generated, frames=2, threshold=0.85)
    assert strict["frame"].rate.tolist() == [0, 0]


def test_logits_are_refused():
    clip = still(*[0.0] * 4)
    with pytest.raises(ValueError, match="'frame' left"):
        fooling_rate(lambda clip: {"frame": clip.video[:, :, 0, 0, 0] + 3}, clip, clip, frames=1)

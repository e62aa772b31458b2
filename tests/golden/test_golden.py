"""Numbers that must not change unnoticed.

Weights and inputs are closed forms (cosines of a counter): no random generator's version matters.
`make golden` rewrites the files; a change has to be explained.
"""

import json
import math
import os
from pathlib import Path

import pytest
import torch

from soundsight.contract import Streams
from soundsight.data.m3so import BLOCK, NB, TINY
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.sound2sight import Config

HERE = Path(__file__).parent
SPEC = ClipSpec(8, size=16)
SMALL = {"seen": 3, "code": 16, "z_dim": 3, "rnn_size": 12, "frame_channels": 4}


def cosines(shape, rate) -> torch.Tensor:
    """cos(rate i) for i = 0, 1, ... in the given shape."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.cos(numbers * rate).reshape(shape).float()


def closed_form(model: torch.nn.Module) -> torch.nn.Module:
    """The model with weights that need no random generator."""
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 4
            parameter.copy_(cosines(parameter.shape, 0.7 + 0.01 * number) / fan_in**0.5)
    return model


def sound2sight(fidelity: str) -> dict[str, float]:
    model = closed_form(Config(fidelity=fidelity, audio_channels=4, **SMALL).build(SPEC)).eval()
    video = cosines((2, 8, 1, 16, 16), 0.3) / 2 + 0.5
    clip = Clip(SPEC, video, cosines((2, SPEC.samples), 0.9))
    found = {}
    for name, loss in model.losses(clip, step=10_000, generator=torch.Generator().manual_seed(1)):
        found |= {f"{name}/{term}": float(value.detach()) for term, value in loss.terms.items()}
        found[f"{name}/total"] = float(loss.total.detach())
    made = model.sample(clip.context(3), num_samples=2, generator=Streams(0, [0, 1])).video
    found |= {"sample/mean": float(made.mean()), "sample/std": float(made.std())}
    found["parameters"] = sum(p.numel() for p in model.parameters())
    return found


def m3so(config, spec: ClipSpec) -> dict[str, float]:
    data = config.build(spec, "test")
    clip, truth = data.clips([0, 7]), data.truth([0, 7])
    return {
        "video/mean": float(clip.video.mean()),
        "audio/rms": float(clip.audio.square().mean().sqrt()),
        "positions/sum": float(truth.positions.sum()),
        "wall_hits": int(truth.wall_hits.sum()),
        "labels": clip.label.tolist(),
    }


CASES = {
    "sound2sight_paper": lambda: sound2sight("paper"),
    "sound2sight_fixed": lambda: sound2sight("fixed"),
    "m3so_nb": lambda: m3so(NB, ClipSpec(30)),
    "m3so_block": lambda: m3so(BLOCK, ClipSpec(70)),
    "m3so_tiny": lambda: m3so(TINY, ClipSpec(15, size=32)),
}


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_as_they_were(name):
    found, path = CASES[name](), HERE / f"{name}.json"
    if os.environ.get("SOUNDSIGHT_WRITE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(path.read_text())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=2e-3, abs=1e-6), key

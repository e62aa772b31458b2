"""NaN and infinity in training, on the CPU and, with all else that differs there, on a GPU."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.toy_models import Gan, Linear, Waves, build
from tests.training.train_toy import config as gan_config
from torch import Generator, Tensor

from soundsight.contract import Loss, Model
from soundsight.media.clip import Clip
from soundsight.training.checkpoint import states
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import NonFinite, TrainConfig, train

LINEAR = TrainConfig(steps=4, batch_size=8, optim={"net": OptimConfig()}, device="cpu")


def go(model: Model, config: TrainConfig, run: Path) -> dict[str, Tensor]:
    train(model, Waves(), config, run, recipe={"train": asdict(config)}, progress=False)
    return load_file(run / "weights.safetensors")


class Breaking(Linear):
    """Goes wrong in step `at` (from 0), in a way to choose."""

    def __init__(self, at: int = 5, way: str = "term") -> None:
        super().__init__()
        self.at, self.way = at, way

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        ((name, loss),) = super().losses(clip, step=step, generator=generator)
        if step == self.at:
            if self.way == "term":
                loss = Loss(loss.total, {"fine": loss.total, "ratio": loss.total * float("nan")})
            elif self.way == "total":
                loss = Loss(loss.total / 0, loss.terms)
            elif self.way == "gradient":
                loss = Loss(loss.total + (0 * self.net.bias.sum()).sqrt(), loss.terms)
            else:
                with torch.no_grad():
                    self.net.bias[3] = torch.inf
                weight = self.net.weight.square().mean()
                loss = Loss(weight, {})
        yield name, loss


@pytest.mark.parametrize(
    ("way", "term"),
    [("term", "ratio"), ("total", "total"), ("gradient", "grad_norm"), ("weight", "net.bias")],
)
def test_nothing_that_is_not_finite_is_saved(tmp_path: Path, way: str, term: str) -> None:
    config = replace(LINEAR, steps=9, checkpoint_every=2)
    model = build(Breaking, way=way)
    good = go(build(Linear), replace(config, steps=4), tmp_path / "good")
    with pytest.raises(NonFinite, match=rf"step 6: net/{term} is not finite; the last good") as e:
        go(model, config, tmp_path / "run")
    assert (e.value.step, e.value.phase, e.value.term) == (6, "net", term)
    assert e.value.state == tmp_path / "run" / "state" / "step_00000004"
    assert states(tmp_path / "run")[-1] == e.value.state
    kept = load_file(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(kept[key], good[key]) for key in good)


def test_breaking_before_the_first_state_says_so(tmp_path: Path) -> None:
    with pytest.raises(NonFinite, match="step 1: net/ratio is not finite; no state was saved yet"):
        go(build(Breaking, at=0), LINEAR, tmp_path)
    assert not (tmp_path / "state").exists()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_agrees_and_breaks_before_it_saves(tmp_path: Path) -> None:
    on_cpu = go(build(Linear), LINEAR, tmp_path / "cpu")
    on_gpu = go(build(Linear), replace(LINEAR, device="cuda"), tmp_path / "gpu")
    torch.testing.assert_close(on_gpu, on_cpu, atol=1e-4, rtol=0)
    for precision in ("float32", "bfloat16"):
        config = replace(gan_config(steps=6, checkpoint_every=3), precision=precision)
        go(build(Gan), replace(config, device="cuda"), tmp_path / precision)
    config = replace(LINEAR, device="cuda", steps=20, checkpoint_every=4)
    with pytest.raises(NonFinite, match="step 6: net/ratio") as broken:
        go(build(Breaking), config, tmp_path / "nan")
    assert broken.value.state == tmp_path / "nan" / "state" / "step_00000004"

import math

import pytest
import torch
from tests.training.toy_models import Gan, Linear, build
from torch import nn

from soundsight.training.optim import (
    Ema,
    OptimConfig,
    build_optimizer,
    build_phases,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.25, 0.5, 0.75, 1.0, 1.0, (2 + 2**0.5) / 4, 0.5, (2 - 2**0.5) / 4]),
    ],
)
def test_learning_rate_warms_up_and_decays(schedule: str, expected: list[float]) -> None:
    config = OptimConfig(lr=1.0, warmup=4, schedule=schedule)
    rates = [learning_rate(config, step=step, steps=8) for step in range(8)]
    assert rates == pytest.approx(expected)


def test_schedule_without_warmup_starts_at_the_peak() -> None:
    assert learning_rate(OptimConfig(lr=3.0, schedule="cosine"), step=0, steps=5) == 3.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("lr", 0), ("lr", -1), ("betas", (0.9, 1.0)), ("clip_norm", 0), ("warmup", -1),
     ("schedule", "cubic"), ("name", "sgd"), ("weight_decay", -0.1), ("lerning_rate", 1e-3)],
)  # fmt: skip
def test_config_refuses(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        OptimConfig(**{field: value})


def test_adam_takes_whole_number_betas_and_moves_by_lr_first() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
    optimizer = build_optimizer([weight], OptimConfig(lr=0.1, betas=(0, 0)))
    weight.grad = torch.tensor([5.0, -0.01, 2.0])
    optimizer.step()
    torch.testing.assert_close(weight.data, torch.tensor([0.9, -1.9, 2.9]))


def test_adamw_decays_apart_from_the_gradient() -> None:
    moved = {}
    for name in ("adam", "adamw"):
        weight = nn.Parameter(torch.tensor([4.0]))
        optimizer = build_optimizer([weight], OptimConfig(name=name, lr=0.1, weight_decay=0.5))
        weight.grad = torch.tensor([1.0])
        optimizer.step()
        moved[name] = weight.item()
    # Adam: one step of lr, whatever the gradient's size; AdamW: 4 (1 - 0.1 · 0.5) - 0.1.
    assert moved == pytest.approx({"adam": 3.9, "adamw": 3.7})


def test_clipping_scales_the_whole_gradient_and_returns_its_norm() -> None:
    model = build(Linear)
    (phase,) = build_phases(model, model.phases(), {"net": OptimConfig(clip_norm=2.0)}).values()
    for parameter in phase.parameters.values():
        parameter.grad = torch.full_like(parameter, 0.5)
    before = math.sqrt(0.25 * (64 * 8 + 8))
    assert phase.clip().item() == pytest.approx(before)
    for parameter in phase.parameters.values():
        torch.testing.assert_close(parameter.grad, torch.full_like(parameter, 1.0 / before))
    assert phase.clip().item() == pytest.approx(2.0, rel=1e-5)


def test_without_clipping_the_gradient_stays() -> None:
    model = build(Linear)
    (phase,) = build_phases(model, model.phases(), {"net": OptimConfig()}).values()
    for parameter in phase.parameters.values():
        parameter.grad = torch.full_like(parameter, 1e6)
    phase.clip()
    assert model.net.bias.grad.tolist() == [1e6] * 8


def test_phases_name_their_parameters_in_the_model() -> None:
    model = build(Gan)
    phases = build_phases(model, model.phases(), dict.fromkeys(model.phases(), OptimConfig()))
    names = [name for phase in phases.values() for name in phase.parameters]
    assert sorted(names) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert "discriminator.3.weight" in phases["discriminator"].parameters


@pytest.mark.parametrize(
    ("phases", "configured", "message"),
    [
        (["a"], ["b"], r"optim configures the phases \['b'\], but the model has \['a'\]"),
        (["a", "b", "ab"], ["a", "b", "ab"], "'a.weight' is in the phases 'a' and 'ab'"),
        (["a"], ["a"], "'b.weight' is in no phase"),
        (["a", "b", "none"], ["a", "b", "none"], "phase 'none' has no parameter to train"),
    ],
)
def test_build_phases_refuses(phases: list[str], configured: list[str], message: str) -> None:
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2), "none": nn.ReLU()})
    modules = {**model, "ab": nn.ModuleList([model["a"], model["b"]])}
    configs = {name: OptimConfig() for name in configured}
    with pytest.raises(ValueError, match=message):
        build_phases(model, {name: modules[name] for name in phases}, configs)


def conv_phases() -> tuple[nn.Conv2d, dict]:
    """A phase with a channels-last convolution, after a step."""
    torch.manual_seed(0)
    model = nn.ModuleDict({"conv": nn.Conv2d(3, 5, 3), "idle": nn.Linear(2, 2)})
    model["conv"].to(memory_format=torch.channels_last)
    phases = build_phases(model, {"all": model}, {"all": OptimConfig()})
    return model["conv"], phases


def test_optimizer_state_round_trips_with_its_layout() -> None:
    conv, phases = conv_phases()
    conv.weight.grad = torch.randn(5, 3, 3, 3).to(memory_format=torch.channels_last)
    conv.bias.grad = torch.ones(5)
    phases["all"].step(0.1)
    tensors = {k: v.contiguous().clone() for k, v in optimizer_tensors(phases).items()}
    assert set(tensors) == {
        f"all/conv.{name}/{slot}"
        for name in ("weight", "bias")
        for slot in ("step", "exp_avg", "exp_avg_sq")
    }
    other, fresh = conv_phases()
    load_optimizer_tensors(fresh, tensors)
    again = optimizer_tensors(fresh)
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)
    assert again["all/conv.weight/exp_avg"].stride() == other.weight.stride()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("all/conv.bias/exp_avg"), "lacks 'all/conv.bias/exp_avg'"),
        (lambda t: t.update({"all/x/step": torch.ones(())}), "unexpected keys: all/x/step"),
        (lambda t: t.update({"all/conv.bias/exp_avg": torch.ones(4)}), r"shape \(4,\), not \(5,\)"),
    ],
)
def test_optimizer_state_that_does_not_fit_is_refused(change, message: str) -> None:
    conv, phases = conv_phases()
    conv.weight.grad, conv.bias.grad = torch.ones(5, 3, 3, 3), torch.ones(5)
    phases["all"].step(0.1)
    tensors = optimizer_tensors(phases)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        load_optimizer_tensors(conv_phases()[1], tensors)


def test_ema_is_the_weighted_sum_and_copies_buffers() -> None:
    model = nn.BatchNorm1d(1)
    average = Ema(model, decay=0.5)
    history = [1.0]
    for step, value in enumerate([4.0, -2.0, 10.0, 0.5, 3.0, 8.0, -1.0, 2.0, 6.0, 7.0]):
        model.weight.data.fill_(value)
        model.running_mean.fill_(value)
        average.update(model, step=step)
        history.append(value)
    # Closed form: every value times its share and what all later steps kept.
    kept = [min(0.5, (1 + k) / (10 + k)) for k in range(10)]
    shares = [1.0, *(1 - k for k in kept)]
    expected = sum(
        value * share * math.prod(kept[i:])
        for i, (value, share) in enumerate(zip(history, shares, strict=True))
    )
    assert average.model.weight.item() == pytest.approx(expected, rel=1e-6)
    assert average.model.running_mean.item() == 7.0
    assert kept[0] == 0.1
    assert kept[-1] == 0.5
    assert not average.model.training
    assert not average.model.weight.requires_grad
    assert model.weight.item() == 7.0

"""Optimizers of the phases, their schedules, and the moving average of the weights.

Names of parameters are their names in the whole model (`generator.decoder.weight`), so that a
state on disk does not depend on the order in which a phase lists its modules.
"""

import copy
import math
from dataclasses import dataclass as plain_dataclass
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import ConfigDict, NonNegativeFloat, NonNegativeInt, PositiveFloat
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

SLOTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam and AdamW remember of each parameter."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class OptimConfig:
    """How one phase's parameters are updated.

    Raises:
        ValueError: if a field is unknown, of the wrong type or out of its range.
    """

    name: Literal["adam", "adamw"] = "adam"
    """Rule: Adam (weight decay is an L2 term of the gradient) or AdamW (decoupled)."""
    lr: PositiveFloat = 2e-4
    """Learning rate after warm-up, per step."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay per step of the gradient's first and second moment, each in [0, 1)."""
    weight_decay: NonNegativeFloat = 0.0
    """Weight decay of every parameter of the phase, biases and norms included."""
    clip_norm: PositiveFloat | None = None
    """Largest 2-norm of the phase's whole gradient; a longer one is scaled down. None: as it is."""
    warmup: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly to `lr`."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """Way of the learning rate from the end of warm-up down to 0 at the last step, or no change."""

    def __post_init__(self) -> None:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas={self.betas} must both be in [0, 1)")


def learning_rate(config: OptimConfig, *, step: int, steps: int) -> float:
    """Learning rate of one step; a function of the step alone, so it needs no state.

    Args:
        config: peak, warm-up and schedule.
        step: 0-based number of the step.
        steps: length of the training, steps; a schedule reaches 0 at `step == steps`.
    """
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, steps - config.warmup)
    if config.schedule == "cosine":
        return config.lr * 0.5 * (1 + math.cos(math.pi * done))
    return config.lr * (1 - done) if config.schedule == "linear" else config.lr


def build_optimizer(parameters: list[nn.Parameter], config: OptimConfig) -> torch.optim.Adam:
    """The optimizer of `config` over these parameters, all on one device.

    Fused on CUDA. On the CPU the plain loop is kept: the fused kernel walks memory in its own
    order, which would tie the result to the layout of the weights.
    """
    rule = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return rule(
        parameters,
        lr=config.lr,
        betas=config.betas,
        weight_decay=config.weight_decay,
        fused=parameters[0].is_cuda or None,
    )


@plain_dataclass(frozen=True)
class Phase:
    """The parameters that one phase updates, and how."""

    name: str
    config: OptimConfig
    parameters: dict[str, nn.Parameter]
    """Trainable parameters by their name in the model."""
    optimizer: torch.optim.Adam

    def clip(self) -> Float[Tensor, ""]:
        """Scale the gradient down to `clip_norm`; return its 2-norm before that."""
        limit = math.inf if self.config.clip_norm is None else self.config.clip_norm
        return nn.utils.clip_grad_norm_(self.parameters.values(), limit)

    def step(self, lr: float) -> None:
        """Update the parameters with their gradients, then drop these."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def build_phases(
    model: nn.Module, modules: dict[str, nn.Module], configs: dict[str, OptimConfig]
) -> dict[str, Phase]:
    """An optimizer for each phase of a model.

    Args:
        model: the whole model, on its device.
        modules: its `phases()`.
        configs: one entry per phase.

    Raises:
        ValueError: if the names differ, if a phase has nothing to train, if two phases share a
            parameter, or if a parameter that wants a gradient is in no phase.
    """
    if set(modules) != set(configs):
        raise ValueError(
            f"optim configures the phases {sorted(configs)}, but the model has {sorted(modules)}"
        )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    owner: dict[str, str] = {}
    phases = {}
    for phase, module in modules.items():
        mine = {names[id(p)]: p for p in module.parameters() if p.requires_grad}
        if not mine:
            raise ValueError(f"phase {phase!r} has no parameter to train")
        for name in mine:
            if name in owner:
                raise ValueError(
                    f"parameter {name!r} is in the phases {owner[name]!r} and {phase!r}; "
                    "phases must be disjoint"
                )
            owner[name] = phase
        optimizer = build_optimizer(list(mine.values()), configs[phase])
        phases[phase] = Phase(phase, configs[phase], mine, optimizer)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name not in owner:
            raise ValueError(
                f"parameter {name!r} is in no phase: add it to one or set requires_grad=False"
            )
    return phases


def optimizer_tensors(phases: dict[str, Phase]) -> dict[str, Tensor]:
    """The state of all optimizers, by `phase/parameter/slot`; nothing for what has none."""
    return {
        f"{phase.name}/{name}/{slot}": phase.optimizer.state[parameter][slot]
        for phase in phases.values()
        for name, parameter in phase.parameters.items()
        if parameter in phase.optimizer.state
        for slot in SLOTS
    }


def load_optimizer_tensors(phases: dict[str, Phase], tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` gave.

    Raises:
        ValueError: if a key or a shape does not fit these phases.
    """
    left = dict(tensors)
    for phase in phases.values():
        states = {}
        for index, (name, parameter) in enumerate(phase.parameters.items()):
            keys = [f"{phase.name}/{name}/{slot}" for slot in SLOTS]
            found = [key for key in keys if key in left]
            if not found:
                continue
            if found != keys:
                missing = next(key for key in keys if key not in left)
                raise ValueError(f"the optimizer's state lacks {missing!r}")
            step, *moments = (left.pop(key) for key in keys)
            states[index] = dict(zip(SLOTS, (step, *_like(parameter, moments, keys)), strict=True))
        groups = phase.optimizer.state_dict()["param_groups"]
        phase.optimizer.load_state_dict({"state": states, "param_groups": groups})
    if left:
        raise ValueError(f"the optimizer's state has unexpected keys: {', '.join(list(left)[:3])}")


def _like(parameter: nn.Parameter, moments: list[Tensor], keys: list[str]) -> list[Tensor]:
    """The moments in the parameter's memory layout, which fused kernels rely on."""
    for moment, key in zip(moments, keys[1:], strict=True):
        if moment.shape != parameter.shape:
            raise ValueError(
                f"{key!r} has shape {tuple(moment.shape)}, not {tuple(parameter.shape)}"
            )
    return [torch.empty_like(parameter, requires_grad=False).copy_(m) for m in moments]


class Ema:
    """A moving average of a model's parameters, in a copy of the model in eval mode.

    After step k the average keeps min(decay, (1 + k) / (10 + k)) of itself, so that the random
    weights of the start do not linger. Buffers are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, *, step: int) -> None:
        """Take in the weights after the 0-based step `step`."""
        kept = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - kept)
        for copied, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            copied.copy_(buffer)

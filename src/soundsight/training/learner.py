"""A model with all that changes as it learns, and what one step does to it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundsight.contract import Loss, Trainable
from soundsight.media.clip import Clip
from soundsight.training import checkpoint
from soundsight.training.batch_norm import SyncedBatchNorm
from soundsight.training.checkpoint import State
from soundsight.training.config import TrainConfig
from soundsight.training.distributed import ALONE, Ranks
from soundsight.training.log import Means
from soundsight.training.optim import (
    Ema,
    Phase,
    build_phases,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
)


class NonFinite(RuntimeError):  # noqa: N818 - reads as what it is.
    """A loss, a gradient or a weight became NaN or infinite; nothing of it was saved.

    Attributes:
        step: in which step, counted from 1 as in `stats.jsonl`.
        phase: of which phase.
        term: a loss term, "total", "grad_norm", or the name of a parameter.
        state: folder of the last good state, if there is one.
    """

    def __init__(self, step: int, phase: str, term: str, state: Path | None = None) -> None:
        last = "no state was saved yet" if state is None else f"the last good state is {state}"
        super().__init__(f"step {step}: {phase}/{term} is not finite; {last}")
        self.step, self.phase, self.term, self.state = step, phase, term, state


class Learner:
    """A model with all that changes as it learns: weights, optimizers, moving average.

    Args:
        model: moved to `device`, and put in train mode.
        config: how to train it.
        device: where.
        ranks: the processes that train it together; they begin with the weights of the first.

    Raises:
        ValueError: if phases, optimizers and parameters do not fit together.
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.model, self.config, self.device = model.to(device), config, device
        self.ranks = ranks
        ranks.copy_first([*model.parameters(), *model.buffers()])
        if config.channels_last:
            for module in model.modules():
                if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    module.weight.data = module.weight.to(memory_format=torch.channels_last)
        modules = cast(Trainable, model).phases()
        self.phases = build_phases(model, modules, config.optim)
        self.ema = None if config.ema is None else Ema(model, config.ema)
        self.means = Means()
        self.done = 0  # Finished steps.
        self._generator = torch.Generator(device)
        if config.compile:
            compile_networks(model, modules)
        model.train()

    @property
    def sampled(self) -> nn.Module:
        """The model that sampling uses."""
        return self.model if self.ema is None else self.ema.model

    def step(self, clip: Clip) -> None:
        """One step of every phase on this rank's part of a batch, which is on the device.

        Raises:
            ValueError: if the model yields what it must not.
            RankLost: if another rank has ended.
            NonFinite: on the CPU, before a weight is spoiled.
        """
        seed, rank = self.config.seed, self.ranks.rank
        torch.manual_seed(_seed(seed, self.done, "dropout", rank))
        self._generator.manual_seed(_seed(seed, self.done, "noise", rank))
        size = len(clip) // self.config.accumulate
        rounds = [
            cast(Trainable, self.model).losses(
                clip[first : first + size], step=self.done, generator=self._generator
            )
            for first in range(0, len(clip), size)
        ]
        while (taken := self._backward(rounds)) is not None:
            phase, scalars = taken
            rate = learning_rate(phase.config, step=self.done, steps=self.config.steps)
            scalars["grad_norm"] = phase.clip()
            named = {f"{phase.name}/{term}": value for term, value in scalars.items()}
            self.means.add(self.done + 1, named)
            if self.device.type == "cpu":  # Elsewhere looking would wait for the device.
                self.check()
            phase.step(rate)
        if self.ema is not None:
            self.ema.update(self.model, step=self.done)
        self.done += 1

    def _backward(
        self, rounds: list[Iterator[tuple[str, Loss]]]
    ) -> tuple[Phase, dict[str, Float[Tensor, ""]]] | None:
        """Take each micro-batch to its next yield; average the gradients of that phase.

        Returns:
            The phase and the means of its terms and total over the micro-batches of all ranks; None
            at the end.
        """
        number, names, sums = len(rounds), [], dict[str, Tensor]()
        for losses in rounds:
            with self._autocast(), self._batch_norm():
                name, loss = next(losses, (None, None))
            names.append(name)
            if name != names[0]:
                raise ValueError(f"micro-batches must yield the same phases in order, not {names}")
            if name is None or loss is None:
                continue
            self._backward_one(name, loss)
            for term, value in {**loss.terms, "total": loss.total}.items():
                sums[term] = sums.get(term, 0) + value.detach().float() / number
        sums = self._over_ranks(names[0], sums)
        return None if names[0] is None else (self.phases[names[0]], sums)

    def _backward_one(self, name: str, loss: Loss) -> None:
        if name not in self.phases:
            raise ValueError(f"losses yielded the phase {name!r}; phases() has {[*self.phases]}")
        if not loss.total.requires_grad:
            raise ValueError(f"the loss of phase {name!r} depends on none of its parameters")
        inputs = list(self.phases[name].parameters.values())
        (loss.total / self.config.accumulate).backward(inputs=inputs)

    def _over_ranks(self, phase: str | None, sums: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average the gradients over the ranks, in place, and the terms with them.

        A parameter that has a gradient in some ranks counts as zero in the others, as clips do that
        give none.
        """
        if self.ranks.world == 1:
            return sums
        parameters = [p for owner in self.phases.values() for p in owner.parameters.values()]
        label = ", ".join([phase or "the end of the step", *sums])
        in_any = self.ranks.meet(label, [p.grad is not None for p in parameters])
        if phase is None:
            return sums
        for parameter, has in zip(parameters, in_any, strict=True):
            if has and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        terms = torch.stack(list(sums.values()))
        self.ranks.average([*(p.grad for p in parameters if p.grad is not None), terms])
        return dict(zip(sums, terms.unbind(), strict=True))

    def _batch_norm(self) -> contextlib.AbstractContextManager[object]:
        if self.config.sync_batch_norm and self.ranks.world > 1:
            return SyncedBatchNorm(self.ranks)
        return contextlib.nullcontext()

    def _autocast(self) -> torch.autocast:
        enabled = self.config.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def check(self) -> None:
        """Raise NonFinite if a scalar was not finite since the means were read."""
        broken = self.means.first_broken()
        if broken is not None:
            step, name = broken
            phase, _, term = name.partition("/")
            raise NonFinite(step, phase, term)

    def check_weights(self) -> None:
        """Raise NonFinite if a parameter is not finite."""
        named = [(p.name, *item) for p in self.phases.values() for item in p.parameters.items()]
        finite = torch.stack([weight.isfinite().all() for _, _, weight in named]).tolist()
        if not all(finite):
            phase, name, _ = named[finite.index(False)]
            raise NonFinite(self.done, phase, name)

    def state(self, recipe: dict[str, Any]) -> State:
        """What resuming needs."""
        tensors = {"model": self.model.state_dict(), "optim": optimizer_tensors(self.phases)}
        if self.ema is not None:
            tensors["ema"] = self.ema.model.state_dict()
        return State(self.done, recipe, tensors)

    def load(self, state: State, source: Path) -> None:
        """Take over a state.

        Raises:
            ValueError: naming `source`, if it is not of this model.
        """
        checkpoint.load_tensors(self.model, state.tensors["model"], source=source / "model")
        if self.ema is not None:
            checkpoint.load_tensors(self.ema.model, state.tensors["ema"], source=source / "ema")
        load_optimizer_tensors(self.phases, state.tensors["optim"])
        self.done = state.step


def _seed(seed: int, step: int, purpose: Literal["dropout", "noise"], rank: int = 0) -> int:
    """A 64-bit seed that is a function of its arguments alone."""
    words = np.random.SeedSequence((seed, rank, step, ("dropout", "noise").index(purpose)))
    return int(words.generate_state(1, np.uint64)[0])


def compile_networks(model: nn.Module, phases: dict[str, nn.Module]) -> None:
    """Compile in place the networks of a model, leaving names of parameters as they are.

    These are what `model.compile_parts()` returns, if there is such a method; else the children of
    each phase, or the phase itself if it has none. (The phases are often mere containers that are
    never called, and `losses`, a generator, cannot be compiled.)
    """
    if hasattr(model, "compile_parts"):
        parts = cast(Callable[[], list[nn.Module]], model.compile_parts)()
    else:
        parts = [part for phase in phases.values() for part in list(phase.children()) or [phase]]
    for part in parts:
        part.compile()

"""The trainer: one loop for every model of `soundsight.contract`.

`train` draws batches, hands them to `model.losses`, and at each yield updates the parameters of
that phase alone. Everything random in step k is a function of (seed, k), so a run that goes on from
the state after step k needs no generator's state, and ends, on the CPU, bit for bit like one that
was never interrupted.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float
from pydantic import ConfigDict, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from soundsight.contract import Loss, Trainable
from soundsight.data.loader import Batches, Dataset
from soundsight.media.clip import Clip
from soundsight.training import checkpoint
from soundsight.training.checkpoint import State
from soundsight.training.feed import Feed, pick_device
from soundsight.training.interrupt import Interrupted, StopSignals
from soundsight.training.log import Means, ProgressLine, StatsLog
from soundsight.training.optim import (
    Ema,
    OptimConfig,
    Phase,
    build_phases,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
)

Validate = Callable[[Trainable, int], dict[str, float]]
"""Scores of a model in eval mode, given it and the number of finished steps."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainConfig:
    """How a model is trained.

    Raises:
        ValueError: if a field is unknown, of the wrong type or out of its range.
    """

    steps: PositiveInt
    """Optimization steps in all."""
    batch_size: PositiveInt
    """Clips per step, over all micro-batches."""
    optim: dict[str, OptimConfig]
    """Optimizer of each phase, by the phase's name."""
    accumulate: PositiveInt = 1
    """Micro-batches that a batch is cut into to save memory; divides `batch_size`."""
    frames: PositiveInt | None = None
    """Train on windows of this many frames; None: whole clips."""
    window: Literal["random", "first"] = "random"
    """Where such a window starts."""
    balance: Literal["none", "class"] = "none"
    """What is drawn: "none": every clip once an epoch; "class": every class equally often."""
    workers: NonNegativeInt = 0
    """Loader processes; 0: a thread. Batches are the same, see `wait_s` in `stats.jsonl`."""
    ema: float | None = None
    """Decay per step of a moving average of the weights, in (0, 1), which is then what sampling
    uses; step k keeps min(ema, (1 + k) / (10 + k)). None: no average."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the losses; bfloat16 is autocast, weights and updates stay float32."""
    compile: bool = False
    """Compile the networks with torch.compile; slower to start, not bit-identical to without."""
    channels_last: bool = True
    """Keep weights of 2-D convolutions in the channels-last layout, faster on CPU and GPU."""
    seed: NonNegativeInt = 0
    """Root of the batches' order and of all noise in training."""
    device: str = "auto"
    """Name of a torch device: "cpu", "cuda", "cuda:1", ...; "auto" is CUDA, or else the CPU."""
    log_every: PositiveInt = 50
    """Steps per line of `stats.jsonl`."""
    validate_every: PositiveInt = 1000
    """Steps between validations."""
    checkpoint_every: PositiveInt = 1000
    """Steps between saved states."""
    keep_states: PositiveInt = 2
    """How many of the newest states stay on the disk."""
    tensorboard: bool = False
    """Write the statistics to `run/tensorboard` as well; needs the extra "track"."""

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of accumulate={self.accumulate}"
            )
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema={self.ema} must be between 0 and 1, or None")


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


def train(
    model: Trainable,
    dataset: Dataset,
    config: TrainConfig,
    run: Path,
    *,
    recipe: dict[str, Any],
    resume: bool = False,
    validate: Validate | None = None,
    progress: bool = True,
) -> None:
    """Train a model in place, leaving its weights, states and statistics in a run folder.

    The caller's global torch generators (of the CPU and of the device) are as before afterwards.
    SIGINT and SIGTERM are taken over for the duration if this is the main thread; a second SIGINT
    raises KeyboardInterrupt.

    Args:
        model: an `nn.Module` with the members of `Trainable`; it is moved to the device.
        dataset: clips to learn from.
        config: everything about how.
        run: the run folder; made if absent.
        recipe: the whole experiment as JSON, `config` being its "train"; stored with each state.
        resume: go on from the newest sound state. Without a state the training starts afresh.
        validate: called every `validate_every` steps and after the last, without gradients, with
            the model that sampling uses; its scores are logged as `validate/<name>`. Left out
            in the step in which the training is interrupted.
        progress: tell people on stderr how it goes.

    Raises:
        ValueError: if the run folder has a state and `resume` is False, or weights without a state;
            if it belongs to another
            recipe; if phases, optimizers and parameters do not fit together; if the device or
            TensorBoard is not there.
        OSError: if the folder cannot be written (a full disk); the states in it are intact.
        Interrupted: after SIGINT or SIGTERM, with the state saved.
        NonFinite: if a loss, gradient or weight became NaN or infinite.
    """
    assert isinstance(model, nn.Module)
    device = pick_device(config.device)
    state = _find_state(run, config, recipe, resume=resume)
    seeded = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=seeded), contextlib.ExitStack() as stack:
        learner = Learner(model, config, device)
        start = 0
        if state is not None:
            learner.load(checkpoint.load_state(state), state)
            start = learner.done
        _prepare(run, recipe, start)
        log = StatsLog(run, step=start, tensorboard=config.tensorboard)
        stack.callback(log.close)
        line = ProgressLine(steps=config.steps, start=start, shown=progress)
        stack.enter_context(line)
        if resume:
            line.say(f"going on from {state}" if state else f"no state in {run}: starting afresh")
        loop = TrainingLoop(learner, run, recipe, log, line, validate, last_state=state)
        batches = Batches(
            dataset,
            batch_size=config.batch_size,
            seed=config.seed,
            start=start,
            frames=config.frames,
            window=config.window,
            workers=config.workers,
            pin=device.type == "cuda",
            balance=config.balance,
        )
        loop.go(batches)


def _find_state(
    run: Path, config: TrainConfig, recipe: dict[str, Any], *, resume: bool
) -> Path | None:
    """The state to go on from, or None to start afresh."""
    if not resume:
        if found := checkpoint.states(run):
            raise ValueError(
                f"{run} already holds a training ({found[-1].name}): "
                "go on with --resume, or choose another folder"
            )
        _refuse_finished(run)
        return None
    path = checkpoint.latest(run)
    if path is None:
        _refuse_finished(run)
        return None
    state = checkpoint.load_state(path)
    if fields := checkpoint.differing_fields(state.recipe, recipe):
        raise ValueError(
            f"{path} was trained with another recipe: {', '.join(fields)} "
            f"{'differs' if len(fields) == 1 else 'differ'}"
        )
    if state.step > config.steps:
        raise ValueError(f"{path} is beyond train.steps={config.steps}")
    return path


def _refuse_finished(run: Path) -> None:
    """Raise a ValueError if there are weights without a state: a run that was only kept for use."""
    if (run / "weights.safetensors").exists():
        raise ValueError(
            f"{run} holds weights.safetensors but no state to go on from: choose another folder"
        )


def _prepare(run: Path, recipe: dict[str, Any], step: int) -> None:
    """Make the run folder, tidy it and write the recipe."""
    run.mkdir(parents=True, exist_ok=True)
    checkpoint.clean(run, step=step)
    checkpoint.save_json(run / "recipe.json", recipe)


class Learner:
    """A model with all that changes as it learns: weights, optimizers, moving average.

    Args:
        model: moved to `device`, and put in train mode.
        config: how to train it.
        device: where.

    Raises:
        ValueError: if phases, optimizers and parameters do not fit together.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, device: torch.device) -> None:
        self.model, self.config, self.device = model.to(device), config, device
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
        """One step of every phase on one batch, which is on the device.

        Raises:
            ValueError: if the model yields what it must not.
            NonFinite: on the CPU, before a weight is spoiled.
        """
        torch.manual_seed(_seed(self.config.seed, self.done, "dropout"))
        self._generator.manual_seed(_seed(self.config.seed, self.done, "noise"))
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
        """Take each micro-batch to its next yield and add up the gradients of that phase.

        Returns:
            The phase and the means over the micro-batches of its terms and total; None at the end.
        """
        number, names, sums = len(rounds), [], dict[str, Tensor]()
        for losses in rounds:
            with self._autocast():
                name, loss = next(losses, (None, None))
            names.append(name)
            if name != names[0]:
                raise ValueError(f"micro-batches must yield the same phases in order, not {names}")
            if name is None or loss is None:
                continue
            self._backward_one(name, loss)
            for term, value in {**loss.terms, "total": loss.total}.items():
                sums[term] = sums.get(term, 0) + value.detach().float() / number
        return None if names[0] is None else (self.phases[names[0]], sums)

    def _backward_one(self, name: str, loss: Loss) -> None:
        if name not in self.phases:
            raise ValueError(f"losses yielded the phase {name!r}; phases() has {[*self.phases]}")
        if not loss.total.requires_grad:
            raise ValueError(f"the loss of phase {name!r} depends on none of its parameters")
        inputs = list(self.phases[name].parameters.values())
        (loss.total / self.config.accumulate).backward(inputs=inputs)

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


class TrainingLoop:
    """A training under way: what happens between the steps.

    Args:
        learner: what is trained, from its `done` on.
        run: the run folder.
        recipe: stored with each state.
        log: where the statistics go.
        line: what people see.
        validate: see `train`.
        last_state: the state that was resumed.
    """

    def __init__(
        self,
        learner: Learner,
        run: Path,
        recipe: dict[str, Any],
        log: StatsLog,
        line: ProgressLine,
        validate: Validate | None,
        last_state: Path | None,
    ) -> None:
        self.learner, self.run, self.recipe, self.log, self.line = learner, run, recipe, log, line
        self.validate, self.last_state = validate, last_state
        self._clock, self._seconds, self._logged = 0.0, 0.0, learner.done
        self._saved = None if last_state is None else learner.done

    def go(self, batches: Batches) -> None:
        """Train to the end."""
        steps = self.learner.config.steps
        if self.learner.done == steps:  # Only the weights can be missing.
            checkpoint.save_weights(self.learner.sampled, self.run / "weights.safetensors")
            return
        with (
            StopSignals() as stop,
            contextlib.closing(Feed(batches, self.learner.device)) as self.feed,
        ):
            self._clock = time.perf_counter()
            while self.learner.done < steps:
                clip = self._draw(stop)
                try:
                    self.learner.step(clip)
                    saved = self._after_step(stop.requested)
                except NonFinite as error:
                    at = error.step, error.phase, error.term
                    raise NonFinite(*at, self.last_state) from None
                if stop.requested and saved is not None:
                    raise Interrupted(saved)

    def _draw(self, stop: StopSignals) -> Clip:
        try:
            return self.feed.draw()
        except ChildProcessError:
            if not stop.requested:
                raise
            # The signal went to the loader's processes as well: no further batch will come.
            if self._saved != self.learner.done:
                self._save()
            raise Interrupted(cast(Path, self.last_state)) from None

    def _after_step(self, stopping: bool) -> Path | None:
        """Log, validate and save what is due; the state if one was saved."""
        config, done = self.learner.config, self.learner.done
        last = done == config.steps
        self.line.step(done)
        if last or done % config.log_every == 0:
            self._log()
        self._seconds += time.perf_counter() - self._clock
        if self.validate and not stopping and (last or done % config.validate_every == 0):
            scores = self._scores(self.validate)
            self.log.write(done, {f"validate/{name}": score for name, score in scores.items()})
        saved = last or stopping or done % config.checkpoint_every == 0
        if saved:
            self._save()
        self._clock = time.perf_counter()
        return self.last_state if saved else None

    def _log(self) -> None:
        learner = self.learner
        learner.check()
        means = learner.means.read()
        # After the read, which waits for the device.
        now = time.perf_counter()
        seconds, self._seconds, self._clock = self._seconds + now - self._clock, 0.0, now
        clips = (learner.done - self._logged) * learner.config.batch_size
        self._logged = learner.done
        rates = {
            f"{p.name}/lr": learning_rate(
                p.config, step=learner.done - 1, steps=learner.config.steps
            )
            for p in learner.phases.values()
        }
        speed = {"seconds": seconds, "wait_s": self.feed.waited(), "clips_per_s": clips / seconds}
        self.log.write(learner.done, means | rates | speed)
        totals = {p: means[f"{p}/total"] for p in learner.phases if f"{p}/total" in means}
        self.line.losses(learner.done, totals, speed["clips_per_s"])

    def _scores(self, validate: Validate) -> dict[str, float]:
        model = self.learner.sampled
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                return validate(cast(Trainable, model), self.learner.done)
        finally:
            for module, mode in modes:
                module.training = mode

    def _save(self) -> None:
        self.learner.check()
        self.learner.check_weights()
        self.log.sync()
        state, keep = self.learner.state(self.recipe), self.learner.config.keep_states
        self.last_state = checkpoint.save_state(self.run, state, keep=keep)
        self._saved = self.learner.done
        checkpoint.save_weights(self.learner.sampled, self.run / "weights.safetensors")

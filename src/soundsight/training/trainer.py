"""The trainer: one loop for every model of `soundsight.contract`.

`train` draws batches, hands them to `model.losses`, and at each yield updates the parameters of
that phase alone. Everything random in step k is a function of (seed, rank, k), so a run that goes
on from the state after step k needs no generator's state, and ends, on the CPU, bit for bit like
one that was never interrupted.

Of several ranks (see `distributed`) each takes its part of every batch; the first one alone reads
and writes the run folder, validates and tells people, while the others wait for it.
"""

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from soundsight.contract import Trainable
from soundsight.data.loader import Batches, Dataset
from soundsight.media.clip import Clip
from soundsight.training import checkpoint
from soundsight.training.config import TrainConfig
from soundsight.training.distributed import ALONE, Ranks
from soundsight.training.feed import Feed, pick_device
from soundsight.training.interrupt import Interrupted, StopSignals
from soundsight.training.learner import Learner, NonFinite
from soundsight.training.log import ProgressLine, StatsLog
from soundsight.training.optim import learning_rate

Validate = Callable[[Trainable, int], dict[str, float]]
"""Scores of a model in eval mode, given it and the number of finished steps."""


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
    ranks: Ranks = ALONE,
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
        ranks: the processes that train together, each of which calls this with the same arguments;
            `run`, `resume`, `validate` and `progress` are of use to the first alone.

    Raises:
        ValueError: if the run folder has a state and `resume` is False, or weights without a state;
            if it belongs to another recipe; if phases, optimizers and parameters do not fit
            together; if the device or TensorBoard is not there; if the batch is no multiple of the
            ranks, or these have different recipes.
        OSError: if the folder cannot be written (a full disk); the states in it are intact.
        Interrupted: after SIGINT or SIGTERM, with the state saved.
        NonFinite: if a loss, gradient or weight became NaN or infinite.
        RankLost: if another rank has ended.
    """
    assert isinstance(model, nn.Module)
    _check_ranks(ranks, config, recipe)
    device = pick_device(ranks.place(config.device))
    state = _find_state(run, config, recipe, resume=resume) if ranks.is_first else None
    seeded = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=seeded), contextlib.ExitStack() as stack:
        learner = Learner(model, config, device, ranks)
        state = _load(learner, run, recipe, state)
        start = learner.done
        log = None
        if ranks.is_first:
            _prepare(run, recipe, start)
            log = StatsLog(run, step=start, tensorboard=config.tensorboard)
            stack.callback(log.close)
        line = ProgressLine(steps=config.steps, start=start, shown=progress and ranks.is_first)
        stack.enter_context(line)
        if resume:
            line.say(f"going on from {state}" if state else f"no state in {run}: starting afresh")
        loop = TrainingLoop(learner, run, recipe, log, line, validate, last_state=state)
        loop.go(_batches(dataset, learner))


def _batches(dataset: Dataset, learner: Learner) -> Batches:
    """This rank's parts of the batches from the learner's step on."""
    config = learner.config
    return Batches(
        dataset,
        batch_size=config.batch_size,
        seed=config.seed,
        start=learner.done,
        frames=config.frames,
        window=config.window,
        workers=config.workers,
        pin=learner.device.type == "cuda",
        balance=config.balance,
        part=(learner.ranks.rank, learner.ranks.world),
    )


def _check_ranks(ranks: Ranks, config: TrainConfig, recipe: dict[str, Any]) -> None:
    """Refuse ranks that cannot share a batch, or have other recipes, wherever their data are."""
    ranks.check_batch(config.batch_size, config.accumulate)
    parts = {part: values for part, values in recipe.items() if part != "data"}
    mine = json.dumps(parts, sort_keys=True).encode()
    if ranks.share(mine) != mine:
        raise ValueError(
            f"rank {ranks.rank} has another recipe than rank 0: start all with the same command"
        )


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


def _load(learner: Learner, run: Path, recipe: dict[str, Any], path: Path | None) -> Path | None:
    """Let every rank take over the state that the first one has found at `path`; its place."""
    ranks = learner.ranks
    state = None if path is None else checkpoint.load_state(path)
    if ranks.world > 1:
        data = ranks.share(b"" if state is None else checkpoint.pack(state))
        state = checkpoint.unpack(data, recipe) if data else None
    if state is None:
        return None
    path = checkpoint.place(run, state.step)
    learner.load(state, path)
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


class TrainingLoop:
    """A training under way: what happens between the steps.

    Args:
        learner: what is trained, from its `done` on.
        run: the run folder.
        recipe: stored with each state.
        log: where the statistics go; None for all ranks but the first.
        line: what people see.
        validate: see `train`.
        last_state: the state that was resumed.
    """

    def __init__(
        self,
        learner: Learner,
        run: Path,
        recipe: dict[str, Any],
        log: StatsLog | None,
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
        learner = self.learner
        if learner.done == learner.config.steps:  # Only the weights can be missing.
            self._save_weights()
            return
        with (
            StopSignals(lasting=learner.ranks.world > 1) as stop,
            contextlib.closing(Feed(batches, learner.device)) as self.feed,
        ):
            self._clock = time.perf_counter()
            try:
                while (clip := self._next(stop)) is not None:
                    learner.step(clip)
                    self._after_step(stopping=stop.requested)
            except NonFinite as error:
                at = error.step, error.phase, error.term
                raise NonFinite(*at, self.last_state) from None

    def _next(self, stop: StopSignals) -> Clip | None:
        """The next batch; None at the end.

        Raises:
            Interrupted: in every rank, with the state saved, if any was asked to stop.
        """
        ranks = self.learner.ranks
        wanted = not stop.requested and self.learner.done < self.learner.config.steps
        clip = self._draw(stop) if wanted else None
        if ranks.any(stop.requested):
            if self._saved != self.learner.done:
                self._save()
            ranks.wait()  # The launcher may end those that are left when one has ended.
            raise Interrupted(cast(Path, self.last_state))
        return clip

    def _draw(self, stop: StopSignals) -> Clip | None:
        try:
            return self.feed.draw()
        except ChildProcessError:
            if not stop.requested:
                raise
            # The signal went to the loader's processes as well: no further batch will come.
            return None

    def _after_step(self, *, stopping: bool) -> None:
        """Log, validate and save what is due."""
        config, done = self.learner.config, self.learner.done
        last = done == config.steps
        self.line.step(done)
        if last or done % config.log_every == 0:
            self._log()
        self._seconds += time.perf_counter() - self._clock
        due = last or done % config.validate_every == 0
        if self.validate and self.log and due and not stopping:
            scores = self._scores(self.validate)
            self.log.write(done, {f"validate/{name}": score for name, score in scores.items()})
        if last or done % config.checkpoint_every == 0:
            self._save()
        self._clock = time.perf_counter()

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
        waited_s = learner.ranks.mean(self.feed.waited())
        speed = {"seconds": seconds, "wait_s": waited_s, "clips_per_s": clips / seconds}
        if self.log:
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
        learner = self.learner
        learner.check()
        learner.check_weights()
        if self.log:
            self.log.sync()
            state, keep = learner.state(self.recipe), learner.config.keep_states
            checkpoint.save_state(self.run, state, keep=keep)
        self.last_state, self._saved = checkpoint.place(self.run, learner.done), learner.done
        self._save_weights()

    def _save_weights(self) -> None:
        if self.learner.ranks.is_first:
            checkpoint.save_weights(self.learner.sampled, self.run / "weights.safetensors")

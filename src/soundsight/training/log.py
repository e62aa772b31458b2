"""What a training tells: `stats.jsonl`, TensorBoard, and progress on stderr."""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from soundsight.training.checkpoint import replace_file

NEVER = torch.iinfo(torch.int64).max
"""Stands for the step in which a scalar that was always finite was not."""
QUIET_S = 10.0
"""Seconds between two lines of progress where stderr is no terminal."""


class Means:
    """Running means of named scalars, kept on their device until they are asked for.

    Reading a number from a GPU waits for all work before it; so sums, and the first step in which
    each scalar was not finite, are gathered on the device.
    """

    def __init__(self) -> None:
        # By the names that come together: a term may be absent from some steps.
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self._counts: dict[tuple[str, ...], int] = {}
        self._broken: dict[tuple[str, ...], Tensor] = {}

    @torch.no_grad()
    def add(self, step: int, scalars: dict[str, Tensor]) -> None:
        """Take in scalars of one step, each of shape ()."""
        names = tuple(scalars)
        values = torch.stack([scalar.detach().float() for scalar in scalars.values()])
        if names not in self._sums:
            self._sums[names], self._counts[names] = torch.zeros_like(values), 0
            self._broken[names] = torch.full_like(values, NEVER, dtype=torch.int64)
        self._sums[names] += values
        self._counts[names] += 1
        broken = torch.where(values.isfinite(), NEVER, step)
        self._broken[names] = self._broken[names].minimum(broken)

    def first_broken(self) -> tuple[int, str] | None:
        """The first (step, name) at which a scalar was NaN or infinite since the last `read`.

        Of several names in that step, the one that was added first.
        """
        firsts = [
            (step, name)
            for names, steps in self._broken.items()
            for name, step in zip(names, steps.tolist(), strict=True)
            if step != NEVER
        ]
        return min(firsts, key=lambda first: first[0], default=None)

    def read(self) -> dict[str, float]:
        """The means since the last `read`."""
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        for names, values in self._sums.items():
            for name, value in zip(names, values.tolist(), strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + self._counts[names]
        self.__init__()  # type: ignore[misc]
        return {name: value / counts[name] for name, value in sums.items()}


class StatsLog:
    """`stats.jsonl` of a run: one JSON object a line, `step` being the number of finished steps.

    Args:
        run: the run folder.
        step: finished steps. Later lines, written by a training that was lost, are cut off, and so
            is a line that was cut short.
        tensorboard: write the same numbers to `run/tensorboard` as well.

    Raises:
        ValueError: if TensorBoard is asked for and not installed.
    """

    def __init__(self, run: Path, *, step: int, tensorboard: bool = False) -> None:
        self._writer = _summary_writer(run, step) if tensorboard else None
        path = run / "stats.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        replace_file(path, b"".join(line for line in lines if _step(line) <= step))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add a line; what is not finite becomes null."""
        finite = {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps({"step": step} | finite, ensure_ascii=False) + "\n")
        self._file.flush()
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def sync(self) -> None:
        """Flush the lines to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._writer is not None:
            self._writer.close()


def _step(line: bytes) -> int | float:
    """Step of a line of `stats.jsonl`; infinite if it is no whole line."""
    try:
        return json.loads(line)["step"] if line.endswith(b"\n") else math.inf
    except (ValueError, KeyError, TypeError):
        return math.inf


def _summary_writer(run: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "tensorboard=True needs TensorBoard: pip install 'soundsight[track]', or leave it out"
        ) from error
    return SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)


class ProgressLine:
    """Steps, time left, clips per second and last losses on stderr.

    A bar that redraws itself on a terminal; elsewhere (a log file) a line now and then. Use as a
    context manager.

    Args:
        steps: length of the training.
        start: steps finished before.
        shown: False says nothing at all.
    """

    def __init__(self, *, steps: int, start: int, shown: bool) -> None:
        self._steps, self._start, self._shown = steps, start, shown
        self._began, self._spoke, self._losses = time.perf_counter(), -math.inf, ""
        console = Console(stderr=True)
        self._bar = None
        if shown and console.is_terminal:
            self._bar = Progress(
                TextColumn("train"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[told]}"),
                console=console,
            )
            self._task = self._bar.add_task("train", total=steps, completed=start, told="")

    def __enter__(self) -> "ProgressLine":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int) -> None:
        """Tell that `done` steps are finished."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def losses(self, done: int, totals: dict[str, float], clips_per_s: float) -> None:
        """Tell the mean total of each phase since the last time."""
        losses = ", ".join(f"{phase} {total:.4g}" for phase, total in totals.items())
        told = f"{clips_per_s:.3g} clips/s, loss: {losses}"
        if self._bar is not None:
            self._bar.update(self._task, told=told)
            return
        now = time.perf_counter()
        if done == self._steps or now - self._spoke >= QUIET_S:
            self._spoke = now
            left = (self._steps - done) * (now - self._began) / max(1, done - self._start)
            self.say(f"step {done}/{self._steps}, {_clock(left)} left, {told}")

    def say(self, line: str) -> None:
        """Tell people something once."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        elif self._shown:
            print(line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds: 1:02:03."""
    minutes, s = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{s:02d}"

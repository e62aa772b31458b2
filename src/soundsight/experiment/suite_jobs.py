"""Train and score the runs of a suite, a few at a time, each in a process of its own."""

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from soundsight import sampling
from soundsight.evaluation import suite as scoring
from soundsight.evaluation.writing import hardware, versions
from soundsight.experiment.kinds import kind_of
from soundsight.experiment.runs import progress_bar
from soundsight.experiment.suite_plan import Planned
from soundsight.experiment.training import run_training
from soundsight.training.interrupt import Interrupted
from soundsight.training.memory import keep_freed_memory

POLL_S = 0.5
"""Seconds between two looks at the processes."""
STOPPED = 130
"""Exit status of a process that was interrupted."""
SCORING = 0.1
"""Share of a run's progress that is its scoring."""


class SuiteInterrupted(Interrupted):
    """The suite was asked to stop; what its trainings had done is saved."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.args = (
            f"interrupted; what was done is in {out}, the same command goes on from there",
        )


def run_all(planned: Sequence[Planned], *, jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Train and score what is missing, `jobs` at a time.

    Progress over the whole is told on stderr. If one fails the others go on.

    Args:
        planned: what `soundsight.experiment.suite_plan.plan` returned.
        jobs: processes at a time, which share the processor's cores.
        say: tells people what begins and ends.

    Returns:
        Why runs failed, by their name.

    Raises:
        Interrupted: after SIGINT or SIGTERM, with the states of all trainings saved.
    """
    missing = [one for one in planned if one.scored() is None]
    say(f"{len(planned) - len(missing)} of {len(planned)} runs are trained and scored")
    threads = max(1, torch.get_num_threads() // jobs)
    waiting, running = list(missing), dict[str, tuple[Planned, SpawnProcess]]()
    failed, parts = dict[str, str](), dict.fromkeys((one.name for one in missing), 0.0)
    with _signals() as asked, progress_bar("all runs", len(missing)) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < jobs and not asked:
                    one = waiting.pop(0)
                    running[one.name] = one, _start(one, threads)
                    say(f"{one.name}: training and scoring, {len(waiting)} wait; {one.log}")
                time.sleep(POLL_S)
                for name, (one, process) in list(running.items()):
                    parts[name] = _progress(one)
                    if process.exitcode is None:
                        continue
                    del running[name]
                    parts[name] = 1.0
                    if process.exitcode == STOPPED:
                        raise SuiteInterrupted(one.out)
                    if process.exitcode:
                        failed[name] = _why(one, process.exitcode)
                    say(f"{name}: {'FAILED' if process.exitcode else 'done'}")
                if asked:
                    raise SuiteInterrupted(planned[0].out)
                progress(sum(parts.values()), len(missing))
        finally:
            for _, process in running.values():
                process.terminate()
            for _, process in running.values():
                process.join()
    return failed


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While entered, signals that ask to stop are put into the list, and do nothing else."""
    asked: list[int] = []
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {
            number: signal.signal(number, lambda number, frame: asked.append(number))
            for number in (getattr(signal, name) for name in names)
        }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(one: Planned, threads: int) -> SpawnProcess:
    """A process for one run; it ignores Ctrl-C until it can save what it learned."""
    one.log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=work, args=(one, threads), name=one.name)
    if threading.current_thread() is not threading.main_thread():
        process.start()
        return process
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # The new process inherits it.
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, handler)
    return process


def _progress(one: Planned) -> float:
    """How much of a run is done, from 0 to 1."""
    path = one.run / "stats.jsonl"
    if not path.is_file():
        return 0.0
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**16))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            step = float(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):  # It is being written, or cut off.
            continue
        return (1 - SCORING) * min(1.0, step / one.recipe.train.steps)
    return 0.0


def _why(one: Planned, code: int) -> str:
    """Why a process failed, in a line."""
    if code < 0:
        return f"killed by signal {-code} ({one.log})"
    lines = one.log.read_text(errors="replace").strip().splitlines() if one.log.is_file() else []
    return f"{lines[-1] if lines else 'it said nothing'} ({one.log})"


# ---- In the process of a run ---------------------------------------------------------------------


def work(one: Planned, threads: int) -> None:
    """Train and score one run; what it tells goes to its log.

    Leaves the process with status 130 if it was interrupted, 1 if it failed.
    """
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    with one.log.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    torch.set_num_threads(threads)
    keep_freed_memory()
    try:
        # Also where the training is finished: the weights may be older than the last state.
        run_training(one.recipe, one.run, resume=True, validate=False)
        if one.scored() is None:
            score(one)
    except (Interrupted, KeyboardInterrupt) as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(STOPPED)
    except Exception as error:
        traceback.print_exc()
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def _leave_with_parent() -> None:
    """Ask this process to stop, as SIGTERM does, once its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def score(one: Planned) -> None:
    """Score one trained run beside the controls, and keep its numbers."""
    run = sampling.load_run(one.run, device=one.recipe.train.device)
    found = kind_of(one.recipe).evaluate(
        {one.row: run}, one.recipe.evaluate, judges=one.out / "judges", data=one.recipe.data
    )
    machine: dict[str, Any] = {"hardware": hardware(), "versions": versions()}
    machine["hardware"]["threads"] = torch.get_num_threads()
    scoring.save(scoring.keep(found, one.about() | machine), one.scores)

"""A whole table: train what is missing, score every run on the same clips, write one page.

The folder of a suite: `suite.json`, what was asked for; `runs/ROW_seedN/`, run folders; `scores/`,
numbers per clip of each run; `report/`, the page. What is there is not done again: the same command
goes on after an interruption, and after a row was added.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from soundsight import recipes, sampling
from soundsight.evaluation import suite as scoring
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.evaluation.suite import RunScores, SuiteScores
from soundsight.evaluation.suite_report import write_suite_report
from soundsight.evaluation.writing import hardware
from soundsight.experiment.kinds import kind_of
from soundsight.experiment.runs import progress_bar, weights_hash
from soundsight.experiment.training import run_training
from soundsight.recipes import Recipe
from soundsight.suites import Suite
from soundsight.training import checkpoint
from soundsight.training.interrupt import Interrupted
from soundsight.training.memory import keep_freed_memory
from soundsight.training.trainer import NonFinite

POLL_S = 0.5
"""Seconds between two looks at the processes."""
STOPPED = 130
"""Exit status of a process that was interrupted."""
SAME = [("train", n) for n in ("steps", "batch_size", "frames", "window", "balance")]
"""Fields of a training that all rows of a table have in common, beside data, clips and evaluation;
learning rates are each model's own."""


@dataclass(frozen=True)
class Planned:
    """One training of a suite, and the scoring of what it learned."""

    row: str
    seed: int
    recipe: Recipe
    out: Path
    """Folder of the suite."""

    @property
    def run(self) -> Path:
        """Run folder."""
        return self.out / "runs" / f"{self.row}_seed{self.seed}"

    @property
    def log(self) -> Path:
        """What its process tells."""
        return self.out / "logs" / f"{self.row}_seed{self.seed}.log"

    @property
    def scores(self) -> Path:
        """Numbers per clip."""
        return self.out / "scores" / f"{self.row}_seed{self.seed}.npz"

    def steps_done(self) -> int:
        """Finished steps, as far as its statistics tell."""
        path = self.run / "stats.jsonl"
        lines = path.read_bytes().splitlines() if path.is_file() else []
        for line in reversed(lines):
            try:
                return int(json.loads(line)["step"])
            except (ValueError, KeyError):  # The last line is being written.
                continue
        return 0

    def trained(self) -> bool:
        """Whether nothing is left to train."""
        newest = checkpoint.latest(self.run)
        there = (self.run / "weights.safetensors").is_file()
        return there and newest == checkpoint.place(self.run, self.recipe.train.steps)

    def scored(self) -> RunScores | None:
        """Its scores, if they are of these weights and this protocol."""
        if not self.scores.is_file() or not self.trained():
            return None
        found = scoring.read(self.scores)
        if found.about["weights_sha256"] != weights_hash(self.run):
            return None
        try:  # Rebuilt: fields that are younger than the scores have their defaults.
            recipe = recipes.from_json(found.about["recipe"])
        except ValueError:
            return None
        return found if recipe == self.recipe else None

    def about(self) -> dict[str, Any]:
        """What its scores depend on."""
        return {"recipe": recipes.to_json(self.recipe), "weights_sha256": weights_hash(self.run)}


def plan(
    suite: Suite,
    out: Path,
    *,
    seeds: Sequence[int],
    changes: Mapping[str, Any] | None = None,
    data: Any = None,
) -> list[Planned]:
    """All trainings of a suite, those of the first seed first.

    Args:
        suite: the table.
        out: its folder.
        seeds: of the trainings.
        changes: of all rows, such as {"train.steps": 100}; a row's own changes win.
        data: in place of the recipes' data; None: their own.

    Raises:
        ValueError: if a seed is there twice; if rows differ in their data, clips, batches, steps
            or evaluation, which would make the table unfair; or if a run in the folder was trained
            with another recipe.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds {', '.join(map(str, seeds))}: at least one, and each once")
    planned = [
        Planned(row.name, seed, row.resolve(seed=seed, changes=changes, data=data), out)
        for seed in seeds
        for row in suite.rows
    ]
    _check_fair(planned)
    for one in planned[: len(suite.rows)]:
        _check_phases(one)
    for one in planned:
        _check_stored(one)
    return planned


def _check_fair(planned: Sequence[Planned]) -> None:
    """Raise a ValueError unless all rows learn from the same data and are scored alike."""
    first, *others = planned
    for other in others:
        fields = [
            f"{part}.{name}"
            for part, name in SAME
            if _field(first.recipe, part, name) != _field(other.recipe, part, name)
        ]
        fields += [p for p in ("data", "clip", "evaluate") if _part(first, p) != _part(other, p)]
        if fields:
            raise ValueError(
                f"rows {first.row!r} and {other.row!r} differ in {', '.join(fields)}: a table "
                f"compares trainings on the same data, for the same steps, scored alike"
            )


def _check_phases(one: Planned) -> None:
    """Raise a ValueError unless every phase of a row's model has its optimizer."""
    with torch.device("meta"):
        model = one.recipe.model.build(one.recipe.clip)
    phases, known = sorted(model.phases()), sorted(one.recipe.train.optim)
    if phases != known:
        raise ValueError(
            f"row {one.row!r}: its model has the phases {', '.join(phases)}, train.optim those of "
            f"{', '.join(known)}; change train.optim in the row"
        )


def _check_stored(one: Planned) -> None:
    """Raise a ValueError if there is a run in its place that learned something else."""
    stored = one.run / "recipe.json"
    if not stored.is_file():
        return
    old, new = recipes.to_json(recipes.read(stored)), recipes.to_json(one.recipe)
    fields = [f for f in checkpoint.differing_fields(old, new) if not f.startswith("evaluate.")]
    if old["train"]["steps"] != new["train"]["steps"]:
        fields.append("train.steps")
    if fields:
        raise ValueError(
            f"{one.run} was trained with another {', '.join(fields)}: choose another folder for "
            f"this table, or delete that run"
        )


def _field(recipe: Recipe, part: str, name: str) -> Any:
    return getattr(getattr(recipe, part), name)


def _part(one: Planned, part: str) -> Any:
    return getattr(one.recipe, part)


# ---- Training and scoring, in processes of their own ---------------------------------------------


def run_all(planned: Sequence[Planned], *, jobs: int, say: Callable[[str], None]) -> None:
    """Train and score what is missing, `jobs` at a time, each in a process of its own.

    Progress over the whole is told on stderr. If one fails the others go on.

    Args:
        planned: what `plan` returned.
        jobs: processes at a time, which share the processor's cores.
        say: tells people what begins and ends.

    Raises:
        Interrupted: after SIGINT or SIGTERM, with the states of all trainings saved.
        ValueError: at the end, naming those that failed and their logs.
    """
    missing = [one for one in planned if one.scored() is None]
    say(f"{len(planned) - len(missing)} of {len(planned)} runs are trained and scored")
    if not missing:
        return
    threads = max(1, torch.get_num_threads() // jobs)
    waiting, running, failed = list(missing), dict[str, tuple[Planned, SpawnProcess]](), []
    total = sum(one.recipe.train.steps for one in missing)
    with progress_bar("steps of all trainings", total) as progress, _stop_all(running, planned):
        while waiting or running:
            while waiting and len(running) < jobs:
                one = waiting.pop(0)
                running[one.run.name] = one, _start(one, threads)
                say(f"{one.run.name}: training and scoring, {len(waiting)} runs wait; {one.log}")
            time.sleep(POLL_S)
            for name, (one, process) in list(running.items()):
                if process.exitcode is None:
                    continue
                del running[name]
                if process.exitcode == STOPPED:
                    raise Interrupted(one.run)
                if process.exitcode != 0:
                    failed.append(one)
                say(f"{name}: {'FAILED' if process.exitcode else 'done'}")
            progress(sum(min(o.steps_done(), o.recipe.train.steps) for o in missing), total)
    if failed:
        told = "; ".join(f"{one.run.name}: {_last_line(one.log)}" for one in failed)
        raise ValueError(f"{len(failed)} of {len(planned)} runs failed: {told}")


@contextmanager
def _stop_all(
    running: dict[str, tuple[Planned, SpawnProcess]], planned: Sequence[Planned]
) -> Iterator[None]:
    """While entered, SIGINT and SIGTERM stop the processes, which save their states."""

    def stop(number: int, frame: Any) -> None:
        raise Interrupted(planned[0].out)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return f"{lines[-1] if lines else 'it said nothing'} ({log})"


def _start(one: Planned, threads: int) -> SpawnProcess:
    one.log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_work, args=(one, threads), name=one.run.name)
    process.start()
    return process


def _work(one: Planned, threads: int) -> None:
    """Train and score one run; what it tells goes to its log."""
    with ExitStack() as stack:
        log = stack.enter_context(one.log.open("a", encoding="utf-8", buffering=1))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        torch.set_num_threads(threads)
        keep_freed_memory()
        try:
            if not one.trained():
                run_training(one.recipe, one.run, resume=True, validate=False)
            if one.scored() is None:
                score(one)
        except (Interrupted, KeyboardInterrupt) as stopped:
            print(stopped, file=sys.stderr)
            os._exit(STOPPED)
        except (ValueError, OSError, NonFinite) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)


def score(one: Planned) -> None:
    """Score one trained run beside the controls, and keep its numbers."""
    run = sampling.load_run(one.run, device=one.recipe.train.device)
    kind = kind_of(one.recipe)
    found = kind.evaluate({one.row: run}, one.recipe.evaluate, judges=one.out / "judges", data=None)
    scoring.save(scoring.keep(found, one.about()), one.scores)


# ---- The table -----------------------------------------------------------------------------------


def run_suite(
    suite: Suite,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
    data: Any = None,
    jobs: int = 1,
    say: Callable[[str], None],
) -> Path:
    """Train what is missing, score it, and write the page.

    Args:
        suite: the table.
        out: its folder; what is done there is not done again.
        seeds: of the trainings behind each row.
        changes: of all rows, such as {"train.steps": 100}; a row's own changes win.
        data: in place of the recipes' data; None: their own.
        jobs: trainings at a time.
        say: tells people how it goes.

    Returns:
        The page.

    Raises:
        ValueError: if the rows cannot stand in one table, the folder holds other runs, or a
            training fails.
        Interrupted: after SIGINT or SIGTERM; the same command goes on from there.
        OSError: if a file cannot be written.
    """
    planned = plan(suite, out, seeds=seeds, changes=changes, data=data)
    sampling.probe_writable(out)
    run_all(planned, jobs=jobs, say=say)
    scores = gather(suite, planned)
    costs = [{"row": one.row, "seed": one.seed, **cost(one)} for one in planned]
    return write_suite_report(
        scores,
        out / "report",
        title=suite.title,
        about=suite.about,
        frames=suite.frames,
        published={row.name: row.published for row in suite.rows},
        costs=costs,
        protocol=told(suite, planned),
    )


def told(suite: Suite, planned: Sequence[Planned]) -> dict[str, Any]:
    """What belongs beside the numbers: recipes, what is changed in them, weights, hardware."""
    first = planned[0].recipe
    return {
        "suite": suite.name,
        "rows": {row.name: {"recipe": row.recipe, **row.changes} for row in suite.rows},
        "data": recipes.to_json(first)["data"],
        "clip": recipes.to_json(first)["clip"],
        "weights": {one.run.name: weights_hash(one.run) for one in planned},
        "hardware": hardware(),
    }


def gather(suite: Suite, planned: Sequence[Planned]) -> SuiteScores:
    """The scores of all runs, joined.

    Raises:
        ValueError: if a run is not scored yet, or they do not fit together.
    """
    runs: dict[str, dict[int, RunScores]] = {row.name: {} for row in suite.rows}
    for one in planned:
        found = one.scored()
        if found is None:
            raise ValueError(f"{one.run} is not trained and scored yet")
        runs[one.row][one.seed] = found
    protocol: ForecastProtocol = planned[0].recipe.evaluate
    return scoring.join(runs, protocol, suite.claims)


def cost(one: Planned) -> dict[str, float]:
    """What a training took: seconds, steps and parameters.

    Seconds are those of the steps themselves; waiting for a core that others used counts.
    """
    seconds = 0.0
    for line in (one.run / "stats.jsonl").read_text().splitlines():
        seconds += json.loads(line).get("seconds") or 0.0
    model = one.recipe.model.build(one.recipe.clip)
    sizes = {name: sum(p.numel() for p in m.parameters()) for name, m in model.phases().items()}
    return {"seconds": seconds, "steps": one.recipe.train.steps, **sizes}

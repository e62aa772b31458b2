"""A whole table: train what is missing, score every run on the same clips, write one page.

The folder of a suite: `runs/ROW_seedN/`, run folders; `logs/`, what each training told; `scores/`,
numbers per clip of each run; `report/`, the page. What is there is not done again: the same command
goes on after an interruption, and after a row was added.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsight import recipes, sampling
from soundsight.data.loader import DataConfig
from soundsight.evaluation import suite as scoring
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.evaluation.suite import RunScores, SuiteScores
from soundsight.evaluation.suite_report import write_suite_report
from soundsight.experiment.suite_jobs import run_all
from soundsight.experiment.suite_plan import Planned, check_ready, cost, plan
from soundsight.suites import Suite


def run_suite(
    suite: Suite,
    out: Path,
    *,
    seeds: Sequence[int] = (0,),
    changes: Mapping[str, Any] | None = None,
    data: DataConfig | None = None,
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
        ValueError: if the rows cannot stand in one table, or the folder holds other runs; at the
            end, if a training failed: the page is there, without it.
        Interrupted: after SIGINT or SIGTERM; the same command goes on from there.
        OSError: if a file cannot be written.
    """
    planned = plan(suite, out, seeds=seeds, changes=changes, data=data)
    check_ready(planned)
    sampling.probe_writable(out)
    failed = run_all(planned, jobs=jobs, say=say)
    scored = [one for one in planned if one.name not in failed]
    told = "; ".join(f"{name}: {why}" for name, why in failed.items())
    if not scored:
        raise ValueError(f"all {len(planned)} runs failed: {told}")
    page = write_page(suite, scored, out / "report", changes=changes, failed=failed)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(planned)} runs failed, {page} is without them: {told}"
        )
    return page


def write_page(
    suite: Suite,
    planned: Sequence[Planned],
    out: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of scored runs.

    Args:
        suite: the table.
        planned: its runs, all of them scored.
        out: folder of the report.
        changes: of all rows, told on the page.
        failed: why other runs are missing, told on the page.

    Returns:
        The page.

    Raises:
        ValueError: if a run is not scored yet, or they do not fit together.
        OSError: if a file cannot be written.
    """
    scores = gather(suite, planned)
    costs = [{"row": one.row, "seed": one.seed, **cost(one)} for one in planned]
    return write_suite_report(
        scores,
        out,
        title=suite.title,
        about=suite.about,
        frames=suite.frames,
        published={row.name: row.published for row in suite.rows},
        costs=costs,
        protocol={
            "suite": suite.name,
            "rows": {row.name: {"recipe": row.recipe, **row.changes} for row in suite.rows},
            "changes": {**suite.changes, **(changes or {})},
            "failed": dict(failed or {}),
            "recipes": {one.row: recipes.to_json(one.recipe) for one in reversed(planned)},
        },
    )


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
    return scoring.join(
        {row: seeds for row, seeds in runs.items() if seeds}, protocol, suite.claims
    )

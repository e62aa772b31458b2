"""From runs to scores and a report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsight.data.loader import DataConfig
from soundsight.evaluation.claims import Claim
from soundsight.experiment.kinds import kind_of
from soundsight.sampling import Run

JUDGES = Path("judges")
"""Where judges are kept that an evaluation of generated clips needs, and trains if absent."""


def run_evaluation(
    runs: Mapping[str, Run],
    *,
    protocol: Any = None,
    judges: Path = JUDGES,
    data: DataConfig | None = None,
) -> Any:
    """Score several runs and their controls on the same clips.

    A bar on stderr tells how far it is.

    Args:
        runs: by the name of their rows; the first one's recipe gives data and protocol.
        protocol: another protocol than that recipe's, of the same kind.
        judges: for generation from nothing, and of pictures from sounds or the reverse: the folder
            of the judges that score it. Those that are not there are trained first.
        data: what the runs are scored on, instead of the first one's own data. Of generation only
            the scored split is taken from it: what the run learned from stays its own.

    Returns:
        `Scores` of forecasts, `JointScores` of generation from nothing, `CrossmodalScores` of
        pictures from sounds or the reverse, or the rows of judges.

    Raises:
        ValueError: if the runs are of several kinds of experiment, or were trained on other data,
            on clips of other rates or sizes, or, forecasts, with another number of seen frames.
    """
    first, *others = runs.values()
    kind = first.recipe.evaluate.kind
    for other in others:
        if other.recipe.evaluate.kind != kind:
            raise ValueError(
                f"{first.path} is scored as a {kind} experiment, {other.path} as a "
                f"{other.recipe.evaluate.kind} one: only runs of one kind can be compared"
            )
    protocol = protocol or first.recipe.evaluate
    return kind_of(first.recipe).evaluate(runs, protocol, judges=judges, data=data)


def write_evaluation(
    scores: Any,
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None = None,
    data: DataConfig | None = None,
) -> Path:
    """Write `scores.json`, `scores.csv` and `index.html`; returns the page.

    Args:
        scores: what `run_evaluation` returned for these runs.
        runs: by the name of their rows.
        out: folder of the report, made if absent.
        title: of the page.
        claims: what an evaluation of forecasts should show, instead of the usual.
        data: as it was for `run_evaluation`.

    Raises:
        OSError: naming the file that cannot be written.
    """
    first = next(iter(runs.values()))
    return kind_of(first.recipe).write(scores, runs, out, title=title, claims=claims, data=data)

"""Experiments that make nothing: judges, which tell clips apart."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from soundsight.data.loader import DataConfig, Dataset
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.judging import (
    CHANCE,
    JUDGE,
    MAJORITY,
    JudgeProtocol,
    JudgeScores,
    evaluate_judge,
)
from soundsight.evaluation.scores import Row
from soundsight.evaluation.writing import versions, write_file, write_scores
from soundsight.experiment.kinds import Validator
from soundsight.experiment.runs import (
    about,
    check_labelled,
    check_same,
    data_and_clip,
    enough,
    progress_bar,
)
from soundsight.models.judges import Classifier, Correspondence
from soundsight.page.pieces import card, definitions, document, plain_table
from soundsight.recipes import Recipe
from soundsight.sampling import Run

VALIDATION_CLIPS = 200
MEANINGS = {
    "accuracy": "Share of decisions that are right: about clips, or about frames (a judge of "
    "single pictures), or about moments that have a pitch (a judge of pitch).",
    "accuracy_macro": "The mean over classes of the share of right decisions about each: a rare "
    "class counts as much as a frequent one.",
    "accuracy_near": "Share of decisions about pitch that are at most a semitone off.",
    "auc_other": "Probability that a clip's own sound is found nearer to its picture than another "
    "clip's is to another picture.",
    "auc_shifted": "The same for its own sound in time, and its own sound earlier or later.",
    "recall": "recall_k_sound: share of pictures whose own sound is among the k nearest of all; "
    "recall_k_picture: of sounds whose own picture is.",
}
"""What the metrics say; higher is better for all of them."""


def validator(recipe: Recipe) -> Validator:
    """A validation hook: the judge's scores on the validation split.

    Raises:
        ValueError: if that split has fewer than two clips, or not one label for a judge of labels.
    """
    data = _opened(recipe.data, [recipe], "val")
    protocol = dataclasses.replace(
        recipe.evaluate, split="val", clips=min(VALIDATION_CLIPS, len(data)), resamples=1
    )

    def validate(judge: Classifier | Correspondence, step: int) -> dict[str, float]:
        del step  # The same clips every time.
        rows = evaluate_judge(judge, data, protocol).rows
        return {row.metric: row.value for row in rows if row.name == JUDGE}

    return validate


def evaluate(
    runs: Mapping[str, Run],
    protocol: JudgeProtocol,
    *,
    judges: Path,
    data: DataConfig | None = None,
) -> dict[str, JudgeScores]:
    """Score judges on the same clips.

    Args:
        runs: by the name of their rows; the first one's recipe gives the data.
        protocol: how.
        judges: not used: a judge is compared with what is known of the clips.
        data: what they are scored on, if not the runs' own data.

    Returns:
        Scores by run.

    Raises:
        ValueError: if the runs were trained on other data or on clips of other rates, sizes or
            lengths; if the split has fewer than two clips, or not what a judge tells.
    """
    del judges
    check_same(runs, data_and_clip, why="scores compare only on the same clips")
    source = data or next(iter(runs.values())).recipe.data
    opened = _opened(source, [run.recipe for run in runs.values()], protocol.split)
    protocol = dataclasses.replace(protocol, clips=min(protocol.clips, len(opened)))
    scores = {}
    for name, run in runs.items():
        with progress_bar(f"judging clips: {name}", protocol.clips) as progress:
            scores[name] = evaluate_judge(run.model, opened, protocol, progress=progress)
    return scores


def _opened(data: DataConfig, judges: Sequence[Recipe], split: str) -> Dataset:
    """A split on which the judges of recipes for the same clips can be scored."""
    opened = enough(data.build(judges[0].clip, split), split)
    if any(getattr(recipe.model, "target", None) == "label" for recipe in judges):
        check_labelled(opened, data, split)
    return opened


def write(
    scores: Mapping[str, JudgeScores],
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None,
    data: DataConfig | None = None,
) -> Path:
    """Write the scores of judges as numbers and as a page; returns the page.

    Rows are named after the run, and those of its controls "<run>:chance" and "<run>:majority".

    Raises:
        OSError: naming the file that cannot be written.
    """
    assert claims is None, "claims are about forecasts"
    first = next(iter(scores.values()))
    protocol = dataclasses.asdict(first.protocol)
    block = {
        **protocol,
        "clip": dataclasses.asdict(first.spec),
        **about(runs, data),
        "versions": versions(),
        "indices": first.indices,
    }
    rows = [
        row._replace(name=name if row.name == JUDGE else f"{name}:{row.name}")
        for name, found in scores.items()
        for row in found.rows
    ]
    write_scores(out, title, block, [], rows)
    lead = (
        f"{len(first.indices)} clips of the {first.protocol.split} split, from which nothing was "
        f"learned. Beside each score stand blind guessing and, for classes, always saying the most "
        f"frequent one."
    )
    sections = [(name, card(_table(name, found.rows))) for name, found in scores.items()]
    sections += [("How to read this", definitions(MEANINGS)), ("Protocol", definitions(block))]
    write_file(out / "index.html", document(title, lead, sections))
    return out / "index.html"


def _table(name: str, rows: Iterable[Row]) -> str:
    """A row for each metric, with what its controls score."""
    found = {(row.name, row.metric): row for row in rows}
    lines = []
    for metric in dict.fromkeys(metric for _, metric in found):
        row = found[JUDGE, metric]
        controls = [found.get((control, metric)) for control in (CHANCE, MAJORITY)]
        lines.append([
            metric.replace("_", " "),
            f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]",
            *("" if control is None else f"{control.value:.3f}" for control in controls),
            str(row.n),
        ])  # fmt: skip
    head = ("score", "judge", "chance", "most frequent class", "clips")
    return plain_table(f"Scores of {name}, with confidence intervals; 1 is best", head, lines)

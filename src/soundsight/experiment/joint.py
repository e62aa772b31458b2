"""Experiments that generate picture and sound from nothing."""

import itertools
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundsight import recipes
from soundsight.data.loader import DataConfig, Dataset
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.extractors import open_extractor
from soundsight.evaluation.joint import JointProtocol, JointScores, evaluate_joint
from soundsight.evaluation.joint_report import write_joint_report
from soundsight.experiment.jury import assemble
from soundsight.experiment.kinds import Validator
from soundsight.experiment.runs import about, check_same, data_and_clip, enough, progress_bar
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields


def validator(recipe: Recipe) -> Validator | None:
    """None: what can be computed in a moment says too little about generated clips."""
    del recipe
    return None


def evaluate(
    runs: Mapping[str, Run],
    protocol: JointProtocol,
    *,
    judges: Path,
    data: DataConfig | None = None,
) -> JointScores:
    """Score clips that runs generate from nothing, beside held-out and training clips.

    Training clips, for the bins, the search for copies and the judges, are those that the runs
    learned from, whatever they are scored on.

    Args:
        runs: by the name of their rows; the first one's recipe gives the data.
        protocol: how.
        judges: folder of the judges, see `soundsight.experiment.jury`.
        data: what the held-out clips are of, if not of the runs' own data.

    Raises:
        ValueError: if the runs were trained on other data or on clips of other rates, sizes or
            lengths; if other data has clips of another spec, or the runs' own cannot be opened; if
            a split has fewer than two clips; if the protocol names judges and the data has labels
            for none of them, and there is no extractor either.
    """
    check_same(runs, data_and_clip, why="scores compare only with the same real clips")
    first = next(iter(runs.values()))
    recipe = first.recipe
    scored = (data or recipe.data).build(recipe.clip, protocol.split)
    scored = enough(scored, protocol.split)
    train = _learned(first) if data is not None else recipe.data.build(recipe.clip, "train")
    extractors = [open_extractor(text) for text in protocol.extractors]
    jury = assemble(protocol.judges, first, judges)
    if protocol.judges and not jury and not extractors:
        raise ValueError(
            f"judges of {', '.join(protocol.judges)} cannot learn from {recipe.data.kind} data "
            f"without labels: use an --extractor, or a recipe whose judges need none (pitch, "
            f"correspondence)"
        )
    with progress_bar("scoring clips", protocol.clips) as progress:
        scores = evaluate_joint(
            {name: run.model for name, run in runs.items()},
            scored,
            train,
            protocol,
            judges={role: run.model for role, run in jury.items()},
            extractors=extractors,
            progress=progress,
        )
    for note in scores.notes:
        print(note, file=sys.stderr)
    return scores


def _learned(run: Run) -> Dataset:
    """The clips that a run learned from, wherever it is scored."""
    try:
        return run.recipe.data.build(run.recipe.clip, "train")
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{run.path}: the clips that it learned from are needed, too, and cannot be had: "
            f"{error}; if they have moved, change data.path in {run.path / 'recipe.json'}"
        ) from error


def write(
    scores: JointScores,
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None,
    data: DataConfig | None = None,
) -> Path:
    """Write the report of joint generation; returns the page.

    Raises:
        OSError: naming the file that cannot be written.
    """
    assert claims is None, "claims are about forecasts"
    told = about(runs, data)
    return write_joint_report(scores, out, title=title, protocol=told, groups=groups(runs))


def groups(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """Runs that differ only in the seed of their training.

    Args:
        runs: by name.

    Returns:
        Names of the runs of each group of two or more, in their order, by the group's name: that of
        their recipe, or, if it has none or another group has it, what all their names begin with. A
        group that would be called like a run is called "... (seeds)".
    """
    found: list[list[str]] = []
    for name, run in runs.items():
        for group in found:
            if _differ_in_seed_alone(runs[group[0]].recipe, run.recipe):
                group.append(name)
                break
        else:
            found.append([name])
    found = [group for group in found if len(group) > 1]
    names = [runs[group[0]].recipe.name for group in found]
    named: dict[str, list[str]] = {}
    for group, own in zip(found, names, strict=True):
        called = own if own and names.count(own) == 1 else _beginning(group)
        while called in runs or called in named:
            called += " (seeds)"
        named[called] = group
    return named


def _differ_in_seed_alone(one: Recipe, other: Recipe) -> bool:
    differing = differing_fields(recipes.to_json(one), recipes.to_json(other))
    return set(differing) <= {"train.seed"} and one.train.steps == other.train.steps


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with: of "gan_seed0" and "gan_seed1", "gan"."""
    columns = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in columns)
    return re.sub(r"([-_.\s]+(seed|s))?[-_.\s]*\d*$", "", common) or names[0]

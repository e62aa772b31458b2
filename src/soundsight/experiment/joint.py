"""Experiments that generate picture and sound from nothing."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from soundsight.data.loader import DataConfig
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.extractors import open_extractor
from soundsight.evaluation.joint import JointProtocol, JointScores, evaluate_joint
from soundsight.evaluation.joint_report import write_joint_report
from soundsight.experiment.groups import groups, learned_clips
from soundsight.experiment.jury import seat
from soundsight.experiment.kinds import Validator
from soundsight.experiment.runs import about, check_same, data_and_clip, enough, progress_bar
from soundsight.recipes import Recipe
from soundsight.sampling import Run


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
    train = learned_clips(first) if data is not None else recipe.data.build(recipe.clip, "train")
    extractors = [open_extractor(text) for text in protocol.extractors]
    others, unlabeled = bool(extractors), "pitch, correspondence"
    jury = seat(protocol.judges, first, judges, others=others, unlabeled=unlabeled)
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

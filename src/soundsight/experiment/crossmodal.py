"""Experiments that make a picture of a sound, a sound of a picture, or each of the other."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from soundsight.contract import Model
from soundsight.data.loader import DataConfig
from soundsight.evaluation import joint_readings
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.crossmodal import evaluate_crossmodal
from soundsight.evaluation.crossmodal_readings import directions, drawn, read
from soundsight.evaluation.crossmodal_report import write_crossmodal_report
from soundsight.evaluation.crossmodal_scores import MADE, CrossmodalProtocol, CrossmodalScores
from soundsight.evaluation.extractors import open_extractor
from soundsight.evaluation.forecasters import clip_indices
from soundsight.experiment.groups import (
    check_label_names,
    check_learned_alike,
    groups,
    learned_clips,
)
from soundsight.experiment.jury import assemble, seat
from soundsight.experiment.kinds import Validator
from soundsight.experiment.runs import (
    about,
    check_labelled,
    check_same,
    data_and_clip,
    enough,
    progress_bar,
)
from soundsight.experiment.scoring import JUDGES
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.trainer import pick_device


def validator(recipe: Recipe, *, judges: Path = JUDGES) -> Validator | None:
    """A validation hook: accuracy of what is generated of validation pairs, by the judges.

    The test split is not looked at. Judges that are not in the folder yet are trained first, which
    is said on stderr; so a recipe has to ask for it, by `validation_clips`.

    Args:
        recipe: of a cross-modal model; its protocol names the judges of image and of sound.
        judges: their folder.

    Returns:
        The hook, whose scores are called "image_accuracy" and "sound_accuracy", one output of each
        pair; None if the recipe asks for no validation.

    Raises:
        ValueError: if that split has fewer than two pairs, or no labels; if the protocol names no
            judge of what the model makes.
    """
    protocol: CrossmodalProtocol = recipe.evaluate
    if not protocol.validation_clips:
        return None
    data = enough(recipe.data.build(recipe.clip, "val"), "val")
    check_labelled(data, recipe.data, "val")
    roles = {role: name for role, name in protocol.judges.items() if role in MADE}
    if not roles:
        raise ValueError(
            f"validation_clips={protocol.validation_clips} needs judges of image or of sound; "
            f"evaluate.judges names {', '.join(protocol.judges) or 'none'}"
        )
    count = min(protocol.validation_clips, len(data))
    protocol = dataclasses.replace(protocol, split="val", clips=count, num_samples=1)
    with torch.random.fork_rng():  # The judges' training must not change that of the model.
        run = Run(Path(), recipe, nn.Identity(), pick_device(recipe.train.device))
        jury = assemble(roles, run, judges)
    readers = joint_readings.readers({role: one.model for role, one in jury.items()}, (), roles)
    indices = clip_indices(len(data), count, seed=protocol.seed)

    def validate(model: Model, step: int) -> dict[str, float]:
        del step  # The same pairs and the same noise every time.
        scores = {}
        for direction in directions("the model", model):
            own = [reader for reader in readers if reader.key == direction.role]
            if own:
                made = read(
                    drawn(model, data, indices, indices, direction, protocol), direction, own
                )
                right = made.probabilities[direction.role].argmax(2)[:, 0] == made.labels
                scores[f"{direction.role}_accuracy"] = float(np.mean(right[made.labels >= 0]))
        return scores

    return validate


def evaluate(
    runs: Mapping[str, Run],
    protocol: CrossmodalProtocol,
    *,
    judges: Path,
    data: DataConfig | None = None,
) -> CrossmodalScores:
    """Score what runs make of held-out pictures or sounds.

    Judges learn from the clips that the runs learned from, whatever they are scored on; copies are
    sought among these, too.

    Args:
        runs: by the name of their rows; the first one's recipe gives the data.
        protocol: how.
        judges: folder of the judges, see `soundsight.experiment.jury`.
        data: what the held-out pairs are of, if not of the runs' own data.

    Raises:
        ValueError: if the runs were trained on other data or on clips of other rates or sizes; if
            other data has clips of another spec or classes of other names, or the runs' own cannot
            be opened; if a split has fewer than two pairs; if the protocol names judges and the
            data has labels for none of them, and there is no extractor either.
    """
    check_same(runs, data_and_clip, why="scores compare only on the same pairs")
    first = next(iter(runs.values()))
    recipe = first.recipe
    scored = enough((data or recipe.data).build(recipe.clip, protocol.split), protocol.split)
    train = learned_clips(first)
    check_learned_alike(runs, train)
    check_label_names(scored, train)
    extractors = [open_extractor(text) for text in protocol.extractors]
    for name, run in runs.items():
        directions(name, run.model)  # Refused before judges are trained, not after.
    others, unlabeled = bool(extractors), "correspondence"
    jury = seat(protocol.judges, first, judges, others=others, unlabeled=unlabeled)
    with progress_bar("scoring pairs", protocol.clips) as progress:
        scores = evaluate_crossmodal(
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
    scores: CrossmodalScores,
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None,
    data: DataConfig | None = None,
) -> Path:
    """Write the report of cross-modal generation; returns the page.

    Raises:
        OSError: naming the file that cannot be written.
    """
    assert claims is None, "claims are about forecasts"
    told = about(runs, data)
    return write_crossmodal_report(scores, out, title=title, protocol=told, groups=groups(runs))

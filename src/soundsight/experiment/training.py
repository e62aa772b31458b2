"""From a recipe to a run folder."""

import sys
from pathlib import Path

import torch

from soundsight import recipes
from soundsight.contract import Trainable
from soundsight.experiment.kinds import Validator, kind_of
from soundsight.experiment.runs import check_labelled
from soundsight.recipes import Recipe
from soundsight.training.distributed import ALONE, Ranks
from soundsight.training.trainer import train


def run_training(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    validate: bool = True,
    progress: bool = True,
    ranks: Ranks = ALONE,
) -> Trainable:
    """Train a recipe into a run folder.

    Args:
        recipe: of any kind of experiment.
        out: the run folder.
        resume: go on from its last state.
        validate: score the validation split on the way, if the kind of experiment does.
        progress: tell people on stderr how it goes.
        ranks: the processes that train together; each calls this, the first one validates.

    Returns:
        The trained model, or judge.

    Raises:
        ValueError: naming the data, if a judge of labels is to learn from it and it has not one.
        OSError, Interrupted, NonFinite, RankLost: as `soundsight.training.trainer.train`;
            ValueErrors, too.
    """
    torch.manual_seed(recipe.train.seed)  # The weights that it starts from.
    model: Trainable = recipe.model.build(recipe.clip)
    data = recipe.data.build(recipe.clip, "train")
    if getattr(recipe.model, "target", None) == "label":
        check_labelled(data, recipe.data, "train")
    hook = None
    if validate and ranks.is_first and recipe.train.steps >= recipe.train.validate_every:
        try:
            hook = validator(recipe)
        except ValueError as error:  # A small folder may have nothing to spare.
            print(f"training without validation: {error}", file=sys.stderr)
    train(
        model,
        data,
        recipe.train,
        out,
        recipe=recipes.to_json(recipe),
        resume=resume,
        validate=hook,
        progress=progress,
        ranks=ranks,
    )
    return model


def validator(recipe: Recipe) -> Validator | None:
    """A validation hook: scores of the validation split.

    Forecasts: PSNR and SSIM. Judges: their rows' values. Pictures of sounds, and the reverse: the
    accuracy by judges, if the recipe asks for it; judges that are not there yet are trained first.
    Generation from nothing has none: what is cheap enough to compute on the way says too little
    about it.

    Raises:
        ValueError: if that split has fewer than two clips, or, where accuracy is asked for, no
            labels or no judge.
    """
    return kind_of(recipe).validator(recipe)

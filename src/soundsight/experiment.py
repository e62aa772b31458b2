"""Whole experiments, from a recipe to a run folder and its report.

The trainer knows no evaluation and the evaluation no trainer; here they meet.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from soundsight import recipes
from soundsight.contract import Model
from soundsight.data.loader import Dataset
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecast import evaluate_forecast
from soundsight.evaluation.forecasters import Forecaster, ModelForecaster, mean_image
from soundsight.evaluation.report import write_report
from soundsight.evaluation.scores import ForecastProtocol, Scores
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields
from soundsight.training.trainer import pick_device, train

VALIDATION_CLIPS, VALIDATION_SAMPLES = 32, 4


def run_training(
    recipe: Recipe, out: Path, *, resume: bool = False, validate: bool = True, progress: bool = True
) -> Model:
    """Train a recipe into a run folder.

    Raises:
        ValueError, OSError, Interrupted, NonFinite: see `soundsight.training.trainer.train`.
    """
    torch.manual_seed(recipe.train.seed)  # The weights that it starts from.
    model: Model = recipe.model.build(recipe.clip)
    data = recipe.data.build(recipe.clip, "train")
    hook = None
    if validate and recipe.train.steps >= recipe.train.validate_every:
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
    )
    return model


def validator(recipe: Recipe) -> Callable[[Model, int], dict[str, float]]:
    """A validation hook: PSNR and SSIM of forecasts of the validation split.

    Raises:
        ValueError: if that split has fewer than two clips.
    """
    spec = recipe.clip.with_frames(recipe.evaluate.frames)
    data = _enough(recipe.data.build(spec, "val"), "val")
    protocol = dataclasses.replace(
        recipe.evaluate,
        split="val",
        clips=min(VALIDATION_CLIPS, len(data)),
        num_samples=min(VALIDATION_SAMPLES, recipe.evaluate.num_samples),
        diversity_clips=0,
        examples=0,
        resamples=1,
    )
    background = mean_image(data, clips=VALIDATION_CLIPS, seed=protocol.seed)
    device = pick_device(recipe.train.device)

    def validate(model: Model, step: int) -> dict[str, float]:
        del step  # The same clips and the same noise every time.
        forecasters = {"model": ModelForecaster(model, device)}
        scores = evaluate_forecast(forecasters, data, protocol, mean_image=background)
        keys = [("psnr", "mean"), ("psnr", "sequence_best"), ("ssim", "mean")]
        return {f"{m}_{rule}": scores.row("model", m, rule).value for m, rule in keys}

    return validate


def run_evaluation(
    runs: Mapping[str, Run],
    *,
    protocol: ForecastProtocol | None = None,
) -> Scores:
    """Score several runs, their deaf doubles and the trivial predictors on the same clips.

    A bar on stderr tells how far it is.

    Args:
        runs: by the name of their rows; the first one's recipe gives data and protocol.
        protocol: another protocol than that recipe's.

    Raises:
        ValueError: if the runs were trained on other data, on clips of other rates or sizes, or
            with another number of seen frames.
    """
    first, *others = runs.values()
    for other in others:
        if other.recipe.clip.with_frames(1) != first.recipe.clip.with_frames(1):
            raise ValueError(
                f"{other.path} makes clips of {other.recipe.clip}, {first.path} of "
                f"{first.recipe.clip}: they cannot be compared"
            )
        differing = differing_fields(_given(first.recipe), _given(other.recipe))
        if differing:
            raise ValueError(
                f"{first.path} and {other.path} differ in {', '.join(differing)}: scores compare "
                f"only on the same clips of which the same frames are given"
            )
    recipe = first.recipe
    protocol = protocol or recipe.evaluate
    data = recipe.data.build(recipe.clip.with_frames(protocol.frames), protocol.split)
    data = _enough(data, protocol.split)
    train_data = recipe.data.build(recipe.clip, "train")
    forecasters: dict[str, Forecaster] = {
        name: ModelForecaster(run.model, run.device) for name, run in runs.items()
    }
    protocol = dataclasses.replace(protocol, clips=min(protocol.clips, len(data)))
    background = mean_image(train_data, seed=protocol.seed)
    judges = {
        name: run.model.realness
        for name, run in runs.items()
        if getattr(run.model, "discriminator", None) is not None
    }
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("scoring clips", total=protocol.clips)
        return evaluate_forecast(
            forecasters,
            data,
            protocol,
            mean_image=background,
            realness=judges,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _given(recipe: Recipe) -> dict[str, Any]:
    """What two runs must have in common for their scores to stand in one table."""
    data = {"data": recipes.to_json(recipe)["data"]}
    return data | {"model": {"seen": getattr(recipe.model, "seen", None)}}


def _enough(data: Dataset, split: str) -> Dataset:
    """The data set, if an interval can be computed from it."""
    if len(data) < 2:
        raise ValueError(
            f"the {split} split has {len(data)} clip: scores with intervals need at least 2; "
            f"add videos, or score another split"
        )
    return data


def weights_hash(run: Run) -> str:
    """SHA-256 of the run's weights file, hexadecimal."""
    return hashlib.sha256((run.path / "weights.safetensors").read_bytes()).hexdigest()


def write_evaluation(
    scores: Scores,
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None = None,
) -> Path:
    """Write `scores.json`, `scores.csv` and `index.html`; returns the page.

    Raises:
        OSError: naming the file that cannot be written.
    """
    hashes = {name: weights_hash(run) for name, run in runs.items()}
    about = {
        "recipes": {name: recipes.to_json(run.recipe) for name, run in runs.items()},
        "data": recipes.to_json(next(iter(runs.values())).recipe)["data"],
        "weights": hashes,
    }
    return write_report(
        scores,
        out,
        title=title,
        protocol=about,
        weights_sha256=next(iter(hashes.values())),
        claims=claims,
    )

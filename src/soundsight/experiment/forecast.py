"""Experiments that continue seen frames."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsight import recipes
from soundsight.contract import Model
from soundsight.data.loader import DataConfig
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecast import evaluate_forecast
from soundsight.evaluation.forecasters import Forecaster, ModelForecaster, mean_image
from soundsight.evaluation.report import write_report
from soundsight.evaluation.scores import ForecastProtocol, Scores
from soundsight.experiment.kinds import Validator
from soundsight.experiment.runs import about, check_same, enough, progress_bar
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.trainer import pick_device

VALIDATION_CLIPS, VALIDATION_SAMPLES = 32, 4


def validator(recipe: Recipe) -> Validator:
    """A validation hook: PSNR and SSIM of forecasts of the validation split.

    Raises:
        ValueError: if that split has fewer than two clips.
    """
    spec = recipe.clip.with_frames(recipe.evaluate.frames)
    data = enough(recipe.data.build(spec, "val"), "val")
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


def evaluate(
    runs: Mapping[str, Run],
    protocol: ForecastProtocol,
    *,
    judges: Path,
    data: DataConfig | None = None,
) -> Scores:
    """Score runs, their deaf doubles and the trivial predictors on the same clips.

    Args:
        runs: by the name of their rows; the first one's recipe gives the data.
        protocol: how.
        judges: not used: forecasts are compared with what happened.
        data: what they are scored on, if not the runs' own data; the mean image is of its training
            split.

    Raises:
        ValueError: if the runs were trained on other data, on clips of other rates or sizes, or
            with another number of seen frames; or if the split has fewer than two clips.
    """
    del judges
    first, *others = runs.values()
    for other in others:
        if other.recipe.clip.with_frames(1) != first.recipe.clip.with_frames(1):
            raise ValueError(
                f"{other.path} makes clips of {other.recipe.clip}, {first.path} of "
                f"{first.recipe.clip}: they cannot be compared"
            )
    check_same(
        runs, _given, why="scores compare only on the same clips of which the same frames are given"
    )
    recipe = first.recipe
    source = data or recipe.data
    scored = source.build(recipe.clip.with_frames(protocol.frames), protocol.split)
    scored = enough(scored, protocol.split)
    train_data = source.build(recipe.clip, "train")
    forecasters: dict[str, Forecaster] = {
        name: ModelForecaster(run.model, run.device) for name, run in runs.items()
    }
    protocol = dataclasses.replace(protocol, clips=min(protocol.clips, len(scored)))
    discriminators = {
        name: run.model.realness
        for name, run in runs.items()
        if getattr(run.model, "discriminator", None) is not None
    }
    background = mean_image(train_data, seed=protocol.seed)
    with progress_bar("scoring clips", protocol.clips) as progress:
        return evaluate_forecast(
            forecasters,
            scored,
            protocol,
            mean_image=background,
            realness=discriminators,
            progress=progress,
        )


def _given(recipe: Recipe) -> dict[str, Any]:
    """What two runs must have in common for their scores to stand in one table."""
    data = {"data": recipes.to_json(recipe)["data"]}
    return data | {"model": {"seen": getattr(recipe.model, "seen", None)}}


def write(
    scores: Scores,
    runs: Mapping[str, Run],
    out: Path,
    *,
    title: str,
    claims: Sequence[Claim] | None,
    data: DataConfig | None = None,
) -> Path:
    """Write the report of forecasts; returns the page.

    Raises:
        OSError: naming the file that cannot be written.
    """
    told = about(runs, data)
    return write_report(
        scores,
        out,
        title=title,
        protocol=told,
        weights_sha256=next(iter(told["weights"].values())),
        claims=claims,
    )

"""What a suite will train and score, checked before anything begins."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundsight import recipes
from soundsight.data.loader import DataConfig
from soundsight.evaluation import suite as scoring
from soundsight.evaluation.forecast import check_region
from soundsight.evaluation.suite import RunScores
from soundsight.experiment.runs import weights_hash
from soundsight.recipes import Recipe
from soundsight.suites import Suite
from soundsight.training import checkpoint
from soundsight.training.trainer import pick_device

SAME = ("steps", "batch_size", "accumulate", "frames", "window", "balance", "precision")
"""Fields of a training that all rows of a table have in common, beside data, clips, seen frames and
evaluation; learning rates and averages of the weights are each model's own."""


@dataclass(frozen=True)
class Planned:
    """One training of a suite, and the scoring of what it learned."""

    row: str
    seed: int
    recipe: Recipe
    out: Path
    """Folder of the suite."""

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.row}_seed{self.seed}"

    @property
    def run(self) -> Path:
        """Run folder."""
        return self.out / "runs" / self.name

    @property
    def log(self) -> Path:
        """What its process tells."""
        return self.out / "logs" / f"{self.name}.log"

    @property
    def scores(self) -> Path:
        """Numbers per clip."""
        return self.out / "scores" / f"{self.name}.npz"

    def scored(self) -> RunScores | None:
        """Its scores, if they are of its finished weights and of this recipe; a torn file is none.

        Raises:
            OSError: if they cannot be read.
        """
        weights = self.run / "weights.safetensors"
        finished = checkpoint.place(self.run, self.recipe.train.steps)
        if not (self.scores.is_file() and weights.is_file() and finished.is_dir()):
            return None
        try:
            found = scoring.read(self.scores)
            # Rebuilt: fields that are younger than the scores have their defaults.
            recipe = recipes.from_json(found.about["recipe"])
        except ValueError:
            return None
        of_these = found.about["weights_sha256"] == weights_hash(self.run)
        return found if of_these and recipe == self.recipe else None

    def about(self) -> dict[str, Any]:
        """What its scores depend on."""
        return {"recipe": recipes.to_json(self.recipe), "weights_sha256": weights_hash(self.run)}


def plan(
    suite: Suite,
    out: Path,
    *,
    seeds: Sequence[int],
    changes: Mapping[str, Any] | None = None,
    data: DataConfig | None = None,
) -> list[Planned]:
    """All trainings of a suite, those of the first seed first.

    Args:
        suite: the table.
        out: its folder.
        seeds: of the trainings.
        changes: of all rows, such as {"train.steps": 100}; a row's own changes win.
        data: in place of the recipes' data; None: their own.

    Raises:
        ValueError: if a seed is there twice; if a row is no forecast, or a frame or a claim is
            about what is not scored; if rows differ in what would make the table unfair; or if a
            run in the folder was trained with another recipe or on other data.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds={list(seeds)}: name at least one, and each once")
    if "train.seed" in (changes or {}):
        raise ValueError("train.seed is set by the seeds of the suite, one run each")
    planned = [
        Planned(row.name, seed, _resolved(suite, row.name, seed, changes, data), out)
        for seed in seeds
        for row in suite.rows
    ]
    for one in planned[: len(suite.rows)]:
        _check_kind(one)
    _check_fair(planned)
    _check_scored(suite, planned[0].recipe)
    for one in planned:
        _check_stored(one)
    return planned


def check_ready(planned: Sequence[Planned]) -> None:
    """Open data and device: what is missing should be told now, not by every training.

    Raises:
        ValueError, OSError: naming what is not there.
    """
    recipe = planned[0].recipe
    if getattr(recipe.data, "path", None) == "":
        raise ValueError("these rows learn from your own videos: say where they are with --data")
    pick_device(recipe.train.device)
    recipe.data.build(recipe.clip, "train")
    spec = recipe.clip.with_frames(recipe.evaluate.frames)
    recipe.data.build(spec, recipe.evaluate.split)


def _resolved(
    suite: Suite,
    name: str,
    seed: int,
    changes: Mapping[str, Any] | None,
    data: DataConfig | None,
) -> Recipe:
    (row,) = (row for row in suite.rows if row.name == name)
    return row.resolve(seed=seed, changes={**suite.changes, **(changes or {})}, data=data)


def _check_kind(one: Planned) -> None:
    """Raise a ValueError unless a row is a forecast whose phases all have their optimizer."""
    import torch

    recipe = one.recipe
    if recipe.evaluate.kind != "forecast":
        raise ValueError(
            f"row {one.row!r}: {recipe.name} is a {recipe.evaluate.kind} experiment; suites "
            f"compare forecasts"
        )
    with torch.device("meta"):
        model = recipe.model.build(recipe.clip)
    phases, known = sorted(model.phases()), sorted(recipe.train.optim)
    if phases != known:
        raise ValueError(
            f"row {one.row!r}: its model has the phases {', '.join(phases)}, train.optim those of "
            f"{', '.join(known)}; change train.optim in the row"
        )


def _check_fair(planned: Sequence[Planned]) -> None:
    """Raise a ValueError unless all rows learn from the same data and are scored alike."""
    first, *others = ((one.row, _common(one.recipe)) for one in planned)
    for row, common in others:
        if fields := [name for name, value in common.items() if value != first[1][name]]:
            raise ValueError(
                f"rows {first[0]!r} and {row!r} differ in {', '.join(fields)}: a table compares "
                f"trainings on the same data, for the same steps, scored alike"
            )


def _common(recipe: Recipe) -> dict[str, Any]:
    """What all rows of a table have in common, by the name of the field."""
    found = {f"train.{name}": getattr(recipe.train, name) for name in SAME}
    found |= {part: getattr(recipe, part) for part in ("data", "clip", "evaluate")}
    return found | {"model.seen": getattr(recipe.model, "seen", recipe.evaluate.seen)}


def _check_scored(suite: Suite, recipe: Recipe) -> None:
    """Raise a ValueError if the page would show, or a claim rest on, what is not scored."""
    protocol = recipe.evaluate
    if protocol.frames > recipe.clip.frames:
        raise ValueError(
            f"evaluate.frames={protocol.frames}: clips have only {recipe.clip.frames} frames"
        )
    check_region(protocol, recipe.clip.size)
    claimed = [claim.frame for claim in suite.claims if claim.frame is not None]
    for frame in (*suite.frames, *claimed):
        if not protocol.seen < frame <= protocol.frames:
            raise ValueError(
                f"frame {frame} of suite {suite.name or suite.title!r} is not predicted: those "
                f"from {protocol.seen + 1} to {protocol.frames} are"
            )
    for claim in suite.claims:
        if claim.rule not in (*protocol.rules, "none"):
            raise ValueError(
                f"claim {claim.text!r} rests on the rule {claim.rule!r}; scored are "
                f"{', '.join(protocol.rules)}"
            )


def _check_stored(one: Planned) -> None:
    """Raise a ValueError if there is a run in its place that learned something else."""
    stored = one.run / "recipe.json"
    if not stored.is_file():
        return
    old, new = recipes.to_json(recipes.read(stored)), recipes.to_json(one.recipe)
    fields = checkpoint.differing_fields(old, new)
    # A single training may go on for longer, and its data may have moved; in a table neither.
    for part, name in (("train", "steps"), ("data", "path")):
        if old[part].get(name) != new[part].get(name):
            fields.append(f"{part}.{name}")
    if fields:
        raise ValueError(
            f"{one.run} was trained with another {', '.join(fields)}: choose another folder for "
            f"this table, or delete that run"
        )


def cost(one: Planned) -> dict[str, float]:
    """What a training took: seconds, steps and parameters.

    Seconds are those of the steps themselves; waiting for a core that others used counts.
    """
    import torch

    lines = (one.run / "stats.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = sum(json.loads(line).get("seconds") or 0.0 for line in lines)
    with torch.device("meta"):
        model = one.recipe.model.build(one.recipe.clip)
    sizes = {name: sum(p.numel() for p in m.parameters()) for name, m in model.phases().items()}
    return {"seconds": seconds, "steps": one.recipe.train.steps, **sizes}

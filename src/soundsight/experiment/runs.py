"""What the kinds of experiment share: what runs must have in common, and what is told of them."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from rich.console import Console
from rich.progress import Progress

from soundsight import recipes
from soundsight.data.loader import DataConfig, Dataset
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields

CLIPS_READ = 2000
"""Clips whose labels are read, at most, where a data set does not list them."""
READ_AT_ONCE = 50


def weights_hash(run: Path) -> str:
    """SHA-256 of the weights file of a run folder, hexadecimal."""
    return hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()


def enough(data: Dataset, split: str) -> Dataset:
    """The data set, if an interval can be computed from it.

    Raises:
        ValueError: if it has fewer than two clips.
    """
    if len(data) < 2:
        raise ValueError(
            f"the {split} split has {len(data)} clip: scores with intervals need at least 2; "
            f"add videos, or score another split"
        )
    return data


def check_labelled(data: Dataset, config: DataConfig, split: str) -> None:
    """Refuse data in which not one clip has a class label.

    Looks at `data.labels`, or, where there is no such thing, at up to `CLIPS_READ` clips from all
    over the data set, until one has a label.

    Args:
        data: an opened split.
        config: what it was opened from.
        split: its name.

    Raises:
        ValueError: naming the data, if none has.
    """
    labels = getattr(data, "labels", None)
    read = [labels] if labels is not None else read_labels(data)
    if not any((part >= 0).any() for part in read):
        place = getattr(config, "path", None)
        raise ValueError(
            f"{config.kind} data{'' if place is None else f' {place}'}, {split} split: no clip has "
            f"a class label; a judge of labels needs data that has them, judges of pitch and of "
            f"correspondence need none"
        )


def read_labels(data: Dataset) -> Iterator[Int64[np.ndarray, " b"]]:
    """Labels of up to `CLIPS_READ` clips from all over a data set, a batch at a time.

    Batches whose clips carry no labels at all are left out.
    """
    places = np.linspace(0, len(data) - 1, min(CLIPS_READ, len(data))).astype(int).tolist()
    for first in range(0, len(places), READ_AT_ONCE):
        label = data.clips(places[first : first + READ_AT_ONCE]).label
        if label is not None:
            yield label.numpy()


def check_same(
    runs: Mapping[str, Run], part: Callable[[Recipe], dict[str, Any]], *, why: str
) -> None:
    """Refuse runs that cannot stand in one table.

    Args:
        runs: by name.
        part: what all of them must have in common, of a recipe.
        why: end of the message.

    Raises:
        ValueError: naming two runs and the fields in which they differ.
    """
    first, *others = runs.values()
    for other in others:
        if differing := differing_fields(part(first.recipe), part(other.recipe)):
            raise ValueError(
                f"{first.path} and {other.path} differ in {', '.join(differing)}: {why}"
            )


def data_and_clip(recipe: Recipe) -> dict[str, Any]:
    """A recipe's data, with its rates, sizes and length, as JSON."""
    document = recipes.to_json(recipe)
    return {"data": document["data"], "clip": document["clip"]}


def about(runs: Mapping[str, Run], data: DataConfig | None = None) -> dict[str, Any]:
    """What belongs beside every score: recipes, scored data and hashes of the weights.

    Args:
        runs: by name; their recipes tell what they learned from.
        data: what they were scored on, if that is not the first one's own data.
    """
    documents = {name: recipes.to_json(run.recipe) for name, run in runs.items()}
    first = next(iter(runs.values())).recipe
    scored = first if data is None else dataclasses.replace(first, data=data)
    return {
        "recipes": documents,
        "data": recipes.to_json(scored)["data"],
        "weights": {name: weights_hash(run.path) for name, run in runs.items()},
    }


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[float, float], None]]:
    """A bar on stderr; what is given is called with (done, in all)."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)

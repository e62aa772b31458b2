"""What the kinds of experiment share: what runs must have in common, and what is told of them."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

from soundsight import recipes
from soundsight.data.loader import Dataset
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields


def weights_hash(run: Run) -> str:
    """SHA-256 of the run's weights file, hexadecimal."""
    return hashlib.sha256((run.path / "weights.safetensors").read_bytes()).hexdigest()


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


def about(runs: Mapping[str, Run]) -> dict[str, Any]:
    """What belongs beside every score: recipes, data and hashes of the weights."""
    documents = {name: recipes.to_json(run.recipe) for name, run in runs.items()}
    return {
        "recipes": documents,
        "data": next(iter(documents.values()))["data"],
        "weights": {name: weights_hash(run) for name, run in runs.items()},
    }


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr; what is given is called with (done, in all)."""
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)

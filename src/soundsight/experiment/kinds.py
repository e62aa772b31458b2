"""What the module of one kind of experiment has; nothing is registered, the name is the kind."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from soundsight.data.loader import DataConfig
from soundsight.evaluation.claims import Claim
from soundsight.recipes import Recipe
from soundsight.sampling import Run

Validator = Callable[[Any, int], dict[str, float]]
"""Scores of a model in eval mode, given it and the number of finished steps."""


@runtime_checkable
class Kind(Protocol):
    """`soundsight.experiment.<kind>`."""

    def validator(self, recipe: Recipe) -> Validator | None:
        """A validation hook, or None if training is not watched by one.

        Raises:
            ValueError: if there is too little data to validate with.
        """
        ...

    def evaluate(
        self, runs: Mapping[str, Run], protocol: Any, *, judges: Path, data: DataConfig | None
    ) -> Any:
        """Scores of runs of this kind, by the name of their rows; on other data, if it is given.

        Raises:
            ValueError: if they cannot stand in one table, or there is too little data.
        """
        ...

    def write(
        self,
        scores: Any,
        runs: Mapping[str, Run],
        out: Path,
        *,
        title: str,
        claims: Sequence[Claim] | None,
        data: DataConfig | None,
    ) -> Path:
        """Write `scores.json`, `scores.csv` and `index.html`; returns the page."""
        ...


def kind_of(recipe: Recipe) -> Kind:
    """The module of a recipe's kind of experiment, imported when it is asked for."""
    return cast(Kind, importlib.import_module(f"soundsight.experiment.{recipe.evaluate.kind}"))

"""Suites: one typed Python file is one table of a paper, and the folder is the registry.

A suite names the rows of a table, the recipe behind each, what the paper reports for it, and what
the table is meant to show. `soundsight compare --suite NAME` trains what is missing, scores every
run on the same clips and writes one page. Another row is one line: `Row("mine", "my_recipe")`.
"""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from soundsight import recipes
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import SHUFFLED
from soundsight.evaluation.scores import CONTROLS
from soundsight.evaluation.suite import Published
from soundsight.recipes import Recipe

NAME = re.compile(r"[a-z0-9][a-z0-9_]*")
"""What a row may be called: it names folders."""


@dataclass(frozen=True)
class Row:
    """One row of the table: a recipe, perhaps with a few fields changed."""

    name: str
    """Small letters, digits and "_"."""
    recipe: str
    """Name in the registry of recipes."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields that differ from the recipe's, such as {"model.z_source": "prior"}."""
    published: Published | None = None
    """What the paper reports for it."""

    def resolve(
        self, *, seed: int, changes: Mapping[str, Any] | None = None, data: Any = None
    ) -> Recipe:
        """The recipe that is trained.

        Args:
            seed: of the training; the evaluation's stays the recipe's, the same for all rows.
            changes: of all rows, by field like the row's own, which they yield to.
            data: a configuration that takes the place of the recipe's; None: its own.

        Raises:
            ValueError: if there is no such recipe, or a changed field is unknown or of the wrong
                type.
        """
        recipe = recipes.load(self.recipe)
        if data is not None:
            recipe = dataclasses.replace(recipe, data=data)
        document = recipes.to_json(recipe)
        for path, value in {**(changes or {}), **self.changes, "train.seed": seed}.items():
            part, _, name = path.partition(".")
            if part not in recipes.PARTS or not name:
                raise ValueError(
                    f"row {self.name!r}: {path!r} is no field of a recipe; write PART.FIELD, of "
                    f"the parts {', '.join(recipes.PARTS)}"
                )
            document[part][name] = value
        try:
            return recipes.from_json(document)
        except ValueError as error:
            raise ValueError(f"row {self.name!r}: {error}") from None


@dataclass(frozen=True)
class Suite:
    """A table: its rows, what it should show, and the frames that it reports.

    Raises:
        ValueError: if two rows have one name, a name does not fit into a path, or a claim is about
            a row that is not there.
    """

    title: str
    """Heading of the page."""
    about: str
    """One paragraph: what is compared, and from which paper."""
    rows: tuple[Row, ...]
    """In the order of the table."""
    frames: tuple[int, ...]
    """1-based frames whose scores stand in the table."""
    claims: tuple[Claim, ...] = ()
    """What it should show; `better` and `worse` are rows, their shuffled doubles or controls."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of all rows' recipes that differ; the command line's changes and a row's own win."""
    name: str = ""
    """Name in the registry."""

    def __post_init__(self) -> None:
        names = [row.name for row in self.rows]
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(f"row {name!r}: small letters, digits and '_' make a row's name")
        if len(set(names)) < len(names):
            raise ValueError(f"rows {', '.join(names)}: each name may be there once")
        if not names or not self.frames:
            raise ValueError("a suite needs at least one row and one frame")
        known = {*names, *(row + SHUFFLED for row in names), *CONTROLS}
        for claim in self.claims:
            for side in {claim.better, claim.worse} - known:
                raise ValueError(recipes.nearest(side, sorted(known), f"row of {claim.text!r}"))

    def only(self, names: tuple[str, ...]) -> "Suite":
        """The same suite with some of its rows, and the claims that are about these.

        Raises:
            ValueError: if one of them is not among its rows.
        """
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise ValueError(recipes.nearest(name, known, "row"))
        gone = set(known) - set(names)
        return dataclasses.replace(
            self,
            rows=tuple(row for row in self.rows if row.name in names),
            claims=tuple(c for c in self.claims if not {_row(c.better), _row(c.worse)} & gone),
        )

    def adding(self, rows: tuple[Row, ...]) -> "Suite":
        """The same suite with more rows at its end."""
        return dataclasses.replace(self, rows=(*self.rows, *rows))


def _row(name: str) -> str:
    """The row behind a name that may be that of its shuffled double."""
    return name.partition(":")[0]


def names() -> list[str]:
    """All suites, in the order of the alphabet."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Suite:
    """The suite of that name.

    Raises:
        ValueError: if there is none; the nearest is suggested.
    """
    if name not in names():
        raise ValueError(recipes.nearest(name, names(), "suite"))
    suite: Suite = importlib.import_module(f"{__name__}.{name}").SUITE
    return dataclasses.replace(suite, name=name)

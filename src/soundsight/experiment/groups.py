"""Runs of one comparison: which differ only in their seed, and what they learned from."""

import itertools
import re
from collections.abc import Mapping, Sequence

from soundsight import recipes
from soundsight.data.loader import DataConfig, Dataset
from soundsight.data.prepared import PreparedDataset
from soundsight.experiment.jury import folder_name
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields


def learned_clips(run: Run) -> Dataset:
    """The clips that a run learned from, wherever it is scored.

    Raises:
        ValueError: naming the run, if they cannot be had.
    """
    try:
        return run.recipe.data.build(run.recipe.clip, "train")
    except (ValueError, OSError) as error:
        raise ValueError(
            f"{run.path}: the clips that it learned from are needed, too, and cannot be had: "
            f"{error}; if they have moved, change data.path in {run.path / 'recipe.json'}"
        ) from error


def check_learned_alike(runs: Mapping[str, Run], learned: Dataset) -> None:
    """Refuse runs of several folders of data that do not hold the same clips.

    Recipes of one data set may differ in its path, which says nothing of what lies there.

    Args:
        runs: by name, of one kind of data.
        learned: what the first one learned from, opened.

    Raises:
        ValueError: naming two runs and their data, if the clips that they learned from differ, or
            cannot be had.
    """
    first, *others = runs.values()
    for other in others:
        if other.recipe.data == first.recipe.data:
            continue
        # Of one recipe, the names tell the clips apart.
        own, theirs = (folder_name(first.recipe, data) for data in (learned, learned_clips(other)))
        if own != theirs:
            raise ValueError(
                f"{first.path} and {other.path} learned other clips: {_place(first.recipe.data)} "
                f"and {_place(other.recipe.data)} do not hold the same training split; scores "
                f"compare only after the same training data"
            )


def check_label_names(scored: Dataset, learned: Dataset) -> None:
    """Refuse data whose classes have other names, or another order, than the learned ones.

    Raises:
        ValueError: with both lists, if both are prepared data with classes, and these differ.
    """
    if not (isinstance(scored, PreparedDataset) and isinstance(learned, PreparedDataset)):
        return
    theirs, own = scored.prepared.labels, learned.prepared.labels
    if theirs and own and theirs != own:
        raise ValueError(
            f"the scored data has the classes {', '.join(theirs)}, the data that was learned from "
            f"{', '.join(own)}: they must be the same, in the same order"
        )


def _place(data: DataConfig) -> str:
    return str(getattr(data, "path", data.kind))


def groups(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """Runs that differ only in the seed of their training, no two of a group in nothing.

    Args:
        runs: by name.

    Returns:
        Names of the runs of each group of two or more, in their order, by the group's name: that of
        their recipe, or, if it has none or another group has it, what all their names begin with. A
        group that would be called like a run is called "... (seeds)".
    """
    found: list[list[str]] = []
    for name, run in runs.items():
        for group in found:
            if all(_differ_in_seed_alone(runs[one].recipe, run.recipe) for one in group):
                group.append(name)
                break
        else:
            found.append([name])
    found = [group for group in found if len(group) > 1]
    names = [runs[group[0]].recipe.name for group in found]
    named: dict[str, list[str]] = {}
    for group, own in zip(found, names, strict=True):
        called = own if own and names.count(own) == 1 else _beginning(group)
        while called in runs or called in named:
            called += " (seeds)"
        named[called] = group
    return named


def _differ_in_seed_alone(one: Recipe, other: Recipe) -> bool:
    differing = differing_fields(recipes.to_json(one), recipes.to_json(other))
    return differing == ["train.seed"] and one.train.steps == other.train.steps


def _beginning(names: Sequence[str]) -> str:
    """What all names begin with: of "gan_seed0" and "gan_seed1", "gan"."""
    columns = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    common = "".join(letters[0] for letters in columns)
    return re.sub(r"([-_.\s]+(seed|s))?[-_.\s]*\d*$", "", common) or names[0]

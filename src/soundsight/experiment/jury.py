"""The judges that score what was generated: found in a folder, or trained into it.

A judge belongs to the data and the rates that it learned from. Its folder is named after its recipe
and a checksum of all of its values and of the clips that it learned from, so that one folder of
judges serves any number of evaluations, and none of other clips.
"""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from soundsight import recipes
from soundsight.data.folder import FolderDataset
from soundsight.data.loader import Dataset
from soundsight.data.prepared import PreparedDataset
from soundsight.experiment.runs import read_labels
from soundsight.experiment.training import run_training
from soundsight.recipes import Recipe
from soundsight.sampling import Run, load_run
from soundsight.training.checkpoint import states


def seat(
    roles: Mapping[str, str], judged: Run, folder: Path, *, others: bool, unlabeled: str
) -> dict[str, Run]:
    """What `assemble` returns, if there is anybody to judge.

    Args:
        roles: as of `assemble`.
        judged: as of `assemble`.
        folder: as of `assemble`.
        others: whether published networks judge as well.
        unlabeled: roles that would need no labels, for the message.

    Raises:
        ValueError: if there are roles and nobody for any of them; else as `assemble`.
        OSError: as `assemble`; Interrupted, too.
    """
    jury = assemble(roles, judged, folder)
    if roles and not jury and not others:
        raise ValueError(
            f"judges of {', '.join(roles)} cannot learn from {judged.recipe.data.kind} data "
            f"without labels: use an --extractor, or a recipe whose judges need none ({unlabeled})"
        )
    return jury


def assemble(roles: Mapping[str, str], judged: Run, folder: Path) -> dict[str, Run]:
    """Load the judges of a run's data; those that are not there are trained first.

    Args:
        roles: name of the judge's recipe by its role, such as {"sound": "classifier_sound"}.
        judged: a run whose data and rates the judges learn; they learn and run on its device.
        folder: where judges are kept, made if absent. A training that was interrupted goes on.

    Returns:
        Judges by role. One whose classes cannot be had is left out, which is said on stderr.

    Raises:
        ValueError: if there is no recipe of such a name, or a folder holds something else.
        OSError: if the folder cannot be written.
        Interrupted: with the state saved; the same call goes on from there.
    """
    found: dict[str, Run] = {}
    data = judged.recipe.data.build(judged.recipe.clip, "train") if roles else None
    for role, name in roles.items():
        assert data is not None
        try:
            recipe = fitted(recipes.load(name), judged.recipe, data)
        except NoLabels as error:
            _tell(f"no judge of {role} ({name}): {error}; the scores that need it are left out")
            continue
        place = folder / folder_name(recipe, data)
        saved, trained = states(place), (place / "weights.safetensors").is_file()
        if saved or not trained:  # Weights alone are those of a judge that was handed on.
            done = bool(saved) and saved[-1].name.endswith(f"{recipe.train.steps:08d}")
            if not done:
                _tell(f"training a judge of {role} in {place}: {recipe.train.steps} steps")
            train = dataclasses.replace(recipe.train, device=str(judged.device))
            there = dataclasses.replace(recipe, train=train)
            run_training(there, place, resume=True, progress=not done)
        found[role] = load_run(place, device=str(judged.device))
    return found


def folder_name(recipe: Recipe, data: Dataset) -> str:
    """Name of a judge's folder: its recipe's name, and eight digits that stand for all of it.

    Args:
        recipe: of the judge, as asked for: the device on which it is really trained has no say.
        data: its training split, opened: folders change, and their judges with them.
    """
    document = {"recipe": recipes.to_json(recipe), "clips": _contents(data)}
    text = json.dumps(document, sort_keys=True)
    return f"{recipe.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _contents(data: Dataset) -> list[Any]:
    """What tells the clips of a data set from others of the same configuration, JSON-able.

    Of prepared data: keys, checksums and labels; of videos: their windows, and the names of their
    decoded forms, which stand for the files as they are. Worlds that are computed have only their
    number of clips: all else is in their configuration.
    """
    contents: list[Any] = [len(data)]
    if isinstance(data, PreparedDataset):
        contents.append(data.prepared.labels)
        contents += [[record.key, record.sha256, record.label] for record in data.records]
    elif isinstance(data, FolderDataset):
        contents += [[source.name, source.place.name, start] for source, start in data.windows]
    return contents


class NoLabels(ValueError):  # noqa: N818 - reads as what it is.
    """A data set has no classes that a judge could learn."""


def fitted(judge: Recipe, judged: Recipe, data: Dataset) -> Recipe:
    """A judge's recipe for the data and the rates of another one.

    Args:
        judge: says which network learns what, and how long.
        judged: gives data and clip.
        data: its training split, opened, of which the classes are counted if the judge learns them.

    Raises:
        NoLabels: if it does and there are none.
    """
    model = judge.model
    if getattr(model, "target", None) == "label":
        model = dataclasses.replace(model, classes=count_classes(data))
    return dataclasses.replace(judge, model=model, data=judged.data, clip=judged.clip)


def count_classes(data: Dataset) -> int:
    """Number of classes: one more than the largest label.

    Reads `data.labels`, or, where there is no such thing, what `read_labels` reads.

    Raises:
        NoLabels: if a clip has none.
    """
    labels = getattr(data, "labels", None)
    if labels is None:
        read = list(read_labels(data))
        labels = np.concatenate(read) if read else np.empty(0, np.int64)
    if not len(labels) or labels.max() < 0:
        raise NoLabels("the data has no labels")
    if labels.min() < 0:
        raise NoLabels("some clips of the data have no label")
    return int(labels.max()) + 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)

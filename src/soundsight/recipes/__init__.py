"""Recipes: one typed Python file is one runnable experiment, and the folder is the registry.

A recipe is a complete value.  It is written as JSON into the run folder and every checkpoint, and
rebuilt from there; the `kind` of its model, its data and its evaluation are looked up among our own
modules alone.  The evaluation's kind says which kind of experiment it is: a forecast, a generation
from nothing, or a judge.
"""

import dataclasses
import difflib
import importlib
import json
import pkgutil
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError

import soundsight.data
import soundsight.evaluation
import soundsight.models
from soundsight.data.loader import DataConfig
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.media.clip import ClipSpec
from soundsight.training.trainer import TrainConfig

PARTS = ("model", "data", "clip", "train", "evaluate")
"""Parts of a recipe that have fields of their own."""


@dataclass(frozen=True)
class Recipe:
    """One experiment: what learns what from which data, how long, and how it is scored."""

    model: Any
    """Model configuration, `soundsight.models.<kind>.Config`."""
    data: DataConfig
    """Data configuration of `soundsight.data.<kind>`."""
    clip: ClipSpec
    """Rates, sizes and length of the data's clips."""
    train: TrainConfig
    """How it is trained."""
    evaluate: Any
    """How it is scored, a protocol of `soundsight.evaluation`."""
    name: str = ""
    """Name in the registry, or nothing."""

    def __post_init__(self) -> None:
        if not isinstance(self.evaluate, ForecastProtocol):
            return
        seen = getattr(self.model, "seen", self.evaluate.seen)
        if seen != self.evaluate.seen:
            raise ValueError(
                f"model.seen={seen} and evaluate.seen={self.evaluate.seen} must be the same"
            )


def names() -> list[str]:
    """All recipes, in the order of the alphabet."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def nearest(name: str, choices: list[str], what: str) -> str:
    """One line that says that there is no such name, which is nearest, and what there is."""
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {what} {name!r}{hint} There are: {', '.join(choices)}".replace(
        "' There", "'. There"
    )


def load(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: if there is none; the nearest is suggested.
    """
    recipe: Recipe = importlib.import_module(f"{__name__}.{_known(name)}").RECIPE
    return dataclasses.replace(recipe, name=name)


def document(name: str) -> str:
    """The docstring of a recipe: command, hardware, time and score.

    Raises:
        ValueError: if there is none of that name.
    """
    return importlib.import_module(f"{__name__}.{_known(name)}").__doc__ or ""


def _known(name: str) -> str:
    if name not in names():
        raise ValueError(nearest(name, names(), "recipe"))
    return name


def to_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain JSON values."""
    parts = {part: getattr(recipe, part) for part in PARTS}
    return {"name": recipe.name} | {
        part: TypeAdapter(type(value)).dump_python(value, mode="json")
        for part, value in parts.items()
    }


def read(path: Path) -> Recipe:
    """The recipe in a file, such as the `recipe.json` of a run folder.

    Raises:
        ValueError: naming the file, if it is no recipe.
        OSError: if it cannot be read.
    """
    try:
        return from_json(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_json(document: Any) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        ValueError: if a part or field is unknown, missing or of the wrong type.
    """
    if not isinstance(document, dict):
        raise ValueError(f"a recipe is an object of {', '.join(PARTS)}, not {type(document)}")
    _check_keys(document, [*PARTS, "name"], "recipe")
    for part in PARTS:
        if not isinstance(document.get(part), dict):
            raise ValueError(f"recipe: part {part!r} is missing; a recipe has {', '.join(PARTS)}")
    types = {
        "model": _config_of("models", soundsight.models, document["model"]),
        "data": _config_of("data", soundsight.data, document["data"]),
        "clip": ClipSpec,
        "train": TrainConfig,
        # Before there were other kinds, evaluations had none.
        "evaluate": _config_of(
            "evaluation", soundsight.evaluation, {"kind": "forecast"} | document["evaluate"]
        ),
    }
    values: dict[str, Any] = {}
    for part, kind in types.items():
        _check_keys(document[part], [f.name for f in dataclasses.fields(kind)], part)
        try:
            values[part] = TypeAdapter(kind).validate_python(document[part])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join([part, *map(str, first["loc"])])
            said = str(first["msg"]).removeprefix("Value error, ")
            field = f"{where}={first['input']!r}" if first["loc"] else where
            raise ValueError(f"{field}: {said}") from None
    return Recipe(**values, name=str(document.get("name", "")))


def _check_keys(document: dict[str, Any], known: list[str], where: str) -> None:
    for key in document:
        if key not in known:
            raise ValueError(f"{where}: {nearest(key, known, 'field')}")


def _config_of(layer: str, package: Any, document: dict[str, Any]) -> type:
    """The configuration class of a kind: the one in our modules with this `kind`."""
    kind = document.get("kind")
    names = [
        f"soundsight.{layer}.{module.name}" for module in pkgutil.iter_modules(package.__path__)
    ]
    found: dict[str, type] = {}
    # Modules that are there already come first: seldom does another have to be imported.
    for name in sorted(names, key=lambda name: name not in sys.modules):
        for value in vars(importlib.import_module(name)).values():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                defaults = {f.name: f.default for f in dataclasses.fields(value)}
                if isinstance(found_kind := defaults.get("kind"), str):
                    found[found_kind] = value
        if kind in found:
            return found[kind]
    raise ValueError(nearest(str(kind), sorted(found), f"kind of {layer}"))


def summary(name: str) -> dict[str, str]:
    """What a recipe is, takes, makes, and costs.

    Returns:
        "about", "command", "hardware", "time" and "score" from its docstring (each a line
        `Word: ...`), and the parts that its model "takes" ("noise" if it is given nothing) and
        "makes"; a judge makes "a verdict".
    """
    text = document(name)
    about = {"about": text.strip().splitlines()[0] if text.strip() else ""}
    for word in ("command", "hardware", "time", "score"):
        match = re.search(rf"^{word}: (.*?)(?=^\w+: |\Z)", text, re.I | re.M | re.S)
        about[word] = " ".join(match.group(1).split()) if match else ""
    takes, makes = _takes_and_makes(name)
    nothing = "noise" if makes else "clips"
    return about | {"takes": takes or nothing, "makes": makes or "a verdict"}


_PARTS: dict[Any, tuple[str, str]] = {}
"""What was found of models, by their kind and those of their settings that are no numbers."""


def _takes_and_makes(name: str) -> tuple[str, str]:
    """Parts that a recipe's model takes and makes.

    Most models say so as a class. Of the others one has to be built to know; sizes and weights
    change no parts, so one of those that differ in these alone is.
    """
    recipe = load(name)
    kind = get_type_hints(type(recipe.model).build)["return"]
    takes, makes = getattr(kind, "takes", None), getattr(kind, "makes", None)
    if isinstance(takes, frozenset) and isinstance(makes, frozenset):
        return _told(takes, makes)
    settings = ((f.name, getattr(recipe.model, f.name)) for f in dataclasses.fields(recipe.model))
    chosen = tuple((k, v) for k, v in settings if isinstance(v, str | bool | None))
    key = type(recipe.model), chosen
    if key not in _PARTS:
        with torch.device("meta"):
            model = recipe.model.build(recipe.clip)
        _PARTS[key] = _told(model.takes, model.makes)
    return _PARTS[key]


def _told(takes: frozenset[str], makes: frozenset[str]) -> tuple[str, str]:
    return ", ".join(sorted(takes)), ", ".join(sorted(makes))

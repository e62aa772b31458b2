"""Open a run folder, and check what is asked of it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from soundsight import recipes
from soundsight.recipes import Recipe
from soundsight.training.checkpoint import load_weights
from soundsight.training.trainer import pick_device

LARGEST_SEED = 2**32 - 1
MOST_SAMPLES = 10_000
MOST_FRAMES = 10_000
ACROSS = frozenset({"audio", "image"})
"""What models that make pictures of sounds, or sounds of pictures, take."""


@dataclass(frozen=True)
class Run:
    """A trained model, or judge, with all that is known of it."""

    path: Path
    recipe: Recipe
    model: Any
    """An `nn.Module` that is a `contract.Model`, or a judge, in eval mode."""
    device: torch.device


def load_run(path: str | Path, *, device: str = "auto") -> Run:
    """Rebuild the model of a run folder from `recipe.json` and `weights.safetensors`.

    Raises:
        ValueError: if the folder is no run, was never finished or saved, or its weights belong to
            another model.
    """
    path = Path(path)
    document, weights = path / "recipe.json", path / "weights.safetensors"
    if not document.is_file():
        raise ValueError(f"{path}: no run folder, it holds no recipe.json (see soundsight train)")
    if not weights.is_file():
        raise ValueError(f"{path}: no weights.safetensors yet; finish it with train --resume")
    recipe = recipes.read(document)
    model = recipe.model.build(recipe.clip)
    load_weights(model, weights)
    where = pick_device(device)
    model = model.to(where).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):  # Five axes know no such layout.
            module.weight.data = module.weight.to(memory_format=torch.channels_last)
    return Run(path, recipe, model, where)


def check_request(*, samples: int, seed: int) -> None:
    """Raise a ValueError unless K and the seed are in range."""
    if not 1 <= samples <= MOST_SAMPLES:
        raise ValueError(f"samples={samples} must be between 1 and {MOST_SAMPLES}")
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed={seed} must be between 0 and {LARGEST_SEED}")


def takes_parts(run: Run) -> bool:
    """Whether a run makes pictures of sounds, or sounds of pictures."""
    takes, makes = run.model.takes, run.model.makes
    return bool(takes and makes) and takes | makes <= ACROSS


def check_samples_from(run: Run, given: str) -> None:
    """Raise a ValueError unless a run samples from what is given.

    Args:
        run: a run.
        given: "clips", their first frames and their sound; "parts", a sound or a picture; or
            "nothing".
    """
    if not run.model.makes:
        raise ValueError(
            f"{run.path} is a judge: it makes no clips, it tells them apart; see how well with "
            f"soundsight evaluate {run.path}"
        )
    if given != "nothing" and not run.model.takes:
        raise ValueError(
            f"{run.path} takes nothing: it generates from noise; name no clips, and say how many "
            f"it should make with --samples"
        )
    takes = ", ".join(sorted(run.model.takes))
    if given == "nothing" and run.model.takes:
        raise ValueError(f"{run.path} takes {takes}: it cannot generate from nothing")
    if given == "clips" and takes_parts(run):
        raise ValueError(f"{run.path} takes {takes}: it cannot continue frames")
    if given == "parts" and not takes_parts(run):
        makes = ", ".join(sorted(run.model.makes))
        raise ValueError(f"{run.path} takes {takes} and makes {makes}: no pictures of sounds")


def probe_writable(folder: Path) -> Path:
    """The folder, made if absent, if something can be written into it; asked before long work.

    Raises:
        OSError: naming it, if not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return folder

"""Who is evaluated: a model, the trivial predictors that it must beat, and its deaf double.

A forecaster is called with the given clips (first F frames, whole sound, `spec.frames` = T), the
number K of futures to draw and the random streams of these clips; it returns b * K clips of T
frames, sample index fastest. Two attributes are looked at where it has them: `takes` (with "audio"
it is also tried on the sound of other clips) and `deterministic` (then K is 1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from soundsight.contract import Model, Streams
from soundsight.data.loader import Dataset
from soundsight.media.clip import Clip

Forecaster = Callable[[Clip, int, Streams], Clip]
"""(given, num_samples, streams) -> b * num_samples clips; see the module's docstring."""

TRIVIAL = ("copy_last", "mean_image", "blank")
"""The predictors that learn nothing, in every evaluation."""
REAL = "real"
"""Name of the row of the ground truth scored against itself."""
SHUFFLED = ":shuffled_audio"
"""Suffix of a forecaster that was given the sound of another clip."""


class Entry(NamedTuple):
    """One line of the table."""

    name: str
    forecaster: Forecaster
    num_samples: int
    """Futures K drawn per clip."""
    own_sound: bool = True
    """False: it is given the sound of another clip."""


@dataclass(frozen=True)
class ModelForecaster:
    """A forecast model as a forecaster: in eval mode, without gradients, on its device."""

    model: Model
    device: torch.device | str = "cpu"

    @property
    def takes(self) -> frozenset[str]:
        """What the model is given."""
        return self.model.takes

    @property
    def deterministic(self) -> bool:
        """Whether all its futures of a clip are the same."""
        return bool(getattr(self.model, "deterministic", False))

    def __call__(self, given: Clip, num_samples: int, streams: Streams) -> Clip:
        """Draw `num_samples` futures of each given clip."""
        module = cast(nn.Module, self.model)
        was_training = module.training
        module.eval()
        try:
            with torch.no_grad():
                given = given.to(self.device)
                return self.model.sample(given, num_samples=num_samples, generator=streams)
        finally:
            module.train(was_training)


@dataclass(frozen=True)
class CopyLast:
    """The last seen frame, for ever."""

    deterministic: bool = True

    def __call__(self, given: Clip, num_samples: int, streams: Streams) -> Clip:
        """Continue each clip with its last seen frame."""
        assert given.video is not None
        return _continued(given, given.video[:, -1:], num_samples)


@dataclass(frozen=True, eq=False)
class Still:
    """The same picture for every clip: the mean image, or black."""

    image: Float32[Tensor, "c h w"]
    deterministic: bool = True

    def __call__(self, given: Clip, num_samples: int, streams: Streams) -> Clip:
        """Continue each clip with the picture."""
        return _continued(given, self.image[None, None].expand(len(given), -1, -1, -1, -1), 1)


def _continued(given: Clip, frame: Tensor, num_samples: int) -> Clip:
    """The seen frames, then one frame (b, 1, c, h, w) up to the end."""
    assert given.video is not None
    missing = given.spec.frames - given.video.shape[1]
    future = frame.to(given.video).expand(-1, missing, -1, -1, -1)
    return given.replace(video=torch.cat([given.video, future], dim=1)).repeat(num_samples)


def mean_image(dataset: Dataset, *, clips: int = 256, seed: int = 0) -> Float32[Tensor, "c h w"]:
    """Mean of all frames of some clips, pixel by pixel: the best constant guess.

    Args:
        dataset: the training split, never the one that is evaluated.
        clips: how many clips, chosen at random; all if there are fewer.
        seed: seed of the choice.

    Returns:
        One frame in [0, 1], shape (c, h, w).

    Raises:
        ValueError: if the data set is empty or has no picture.
    """
    if len(dataset) == 0 or clips < 1:
        raise ValueError(f"mean image of clips={clips} of {len(dataset)}: needs at least one clip")
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:clips]
    total, count = torch.zeros((), dtype=torch.float64), 0
    for part in np.array_split(chosen, -(-len(chosen) // 32)):
        video = dataset.clips(part.tolist()).video
        if video is None:
            raise ValueError("the data set has no picture: there is no mean image")
        total = total + video.double().sum((0, 1))
        count += video.shape[0] * video.shape[1]
    return (total / count).float()


def line_up(
    forecasters: Mapping[str, Forecaster], *, num_samples: int, mean_image: Tensor
) -> list[Entry]:
    """Everything that is scored: each forecaster, its shuffled double, the trivial predictors.

    Args:
        forecasters: by name.
        num_samples: futures K drawn per clip by those that are not deterministic.
        mean_image: what `mean_image` returned for the training split.

    Returns:
        Entries in the order of the table.

    Raises:
        ValueError: if a name is taken or contains one of the marks that the report uses.
    """
    reserved = (*TRIVIAL, REAL, "centre_block")
    entries = []
    for name, forecaster in forecasters.items():
        if not name or name in reserved or ":" in name or " - " in name:
            raise ValueError(
                f"forecaster name {name!r} must be none of {', '.join(reserved)} and hold neither "
                "':' nor ' - '"
            )
        samples = 1 if getattr(forecaster, "deterministic", False) else num_samples
        entries.append(Entry(name, forecaster, samples))
        if "audio" in getattr(forecaster, "takes", ()):
            entries.append(Entry(name + SHUFFLED, forecaster, samples, own_sound=False))
    black = torch.zeros_like(mean_image)
    stills: tuple[Forecaster, ...] = (CopyLast(), Still(mean_image), Still(black))
    entries += [Entry(name, still, 1) for name, still in zip(TRIVIAL, stills, strict=True)]
    return entries


def clip_indices(available: int, clips: int, *, seed: int) -> list[int]:
    """Which clips of the split are evaluated: a seeded random choice, ascending.

    Args:
        available: number of clips in the split.
        clips: number wanted; the choice of fewer is part of the choice of more.
        seed: seed of the choice.

    Returns:
        `clips` different indices.

    Raises:
        ValueError: if there are not that many.
    """
    if clips > available:
        raise ValueError(f"clips={clips}: the split has only {available}")
    return sorted(np.random.default_rng(seed).permutation(available)[:clips].tolist())


def other_clips(indices: Sequence[int], *, seed: int) -> list[int]:
    """For each evaluated clip the clip whose sound its deaf double is given: never itself.

    Args:
        indices: all evaluated clips, at least two.
        seed: seed of the distance by which the list is rolled.

    Returns:
        A permutation of `indices` without fixed point. It is a function of the whole list, so that
        it does not depend on how the evaluation is cut into batches.

    Raises:
        ValueError: if there is only one clip.
    """
    if len(indices) < 2:
        raise ValueError("the sound of another clip needs at least 2 clips")
    shift = 1 + int(np.random.default_rng((seed, 1)).integers(len(indices) - 1))
    return [*indices[shift:], *indices[:shift]]

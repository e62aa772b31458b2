"""What the core asks of a model.  Read this first.

A model is any `nn.Module` with the members of `Model`; nobody inherits from anything here. What is
trained only to judge clips, and generates none, has those of `Trainable`.
`losses` is a generator that reads like the paper's algorithm box: it computes, yields
`("discriminator", loss)`, goes on with the same local variables, yields `("generator", loss)`. At
each yield the trainer back-propagates into that phase's parameters alone and steps its optimizer.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from soundsight.media.clip import Clip


class Loss(NamedTuple):
    """What one phase minimizes, and what is logged of it."""

    total: Float[Tensor, ""]
    terms: dict[str, Float[Tensor, ""]]


class Streams:
    """Independent random streams, one for every (given clip, sample): the result of a sample
    depends on the seed, the clip's id and the sample's index, never on the batch it is drawn in.

    Drawn on the CPU and moved, so that every device gets the same numbers. (A `torch.Generator`
    cannot do this: `randn(8)` is no prefix of `randn(16)`.)
    """  # noqa: D205

    def __init__(self, seed: int, ids: Sequence[int]) -> None:
        self.seed = seed
        self.ids = list(ids)
        self._draws = 0

    def normal(self, num_samples: int, *shape: int) -> Float[Tensor, "b_k ..."]:
        """Standard normal numbers, shape (len(ids) * num_samples, *shape), sample index fastest."""
        self._draws += 1
        rows = []
        for clip_id in self.ids:
            for sample in range(num_samples):
                words = np.random.SeedSequence((self.seed, clip_id, sample, self._draws))
                (state,) = words.generate_state(1, np.uint64)
                rows.append(torch.randn(shape, generator=Generator().manual_seed(int(state))))
        return torch.stack(rows)


@runtime_checkable
class Trainable(Protocol):
    """What the trainer can train: a model, or a network that judges clips."""

    def phases(self) -> dict[str, nn.Module]:
        """What each optimizer updates, by phase name; disjoint modules."""
        ...

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        """Yield (phase, loss) in the order in which the phases are updated.

        Args:
            clip: a training batch, on the model's device.
            step: 0-based number of the optimization step, for schedules.
            generator: source of all noise but dropout's, on the model's device.
        """
        ...


@runtime_checkable
class Model(Trainable, Protocol):
    """A generative model of clips."""

    takes: frozenset[str]
    """Parts of a clip it is given: of "audio", "context" (the first frames), "image", "label".
    Nothing: it generates from noise alone."""
    makes: frozenset[str]
    """Parts it generates: of "video", "audio", "image".

    A model whose samples of a clip are all the same says so by an attribute `deterministic = True`;
    then one of each is scored."""

    def sample(self, given: Clip, *, num_samples: int, generator: Streams) -> Clip:
        """Draw `num_samples` per given clip.

        Args:
            given: clips with the parts that the model takes. A model that takes nothing is given
                `Clip.nothing`, whose spec says how many frames are wanted.
            num_samples: number K of samples of each.
            generator: source of all noise, with the id of each given clip.

        Returns:
            A batch of b * num_samples clips, sample index fastest. Sample i of clip j is the same
            whatever else is in the batch.
        """
        ...

"""Batches in a seeded order that is a function of the step alone, so any step can be resumed."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np

from soundsight.media.clip import Clip, ClipSpec


class Dataset(Protocol):
    """Clips by index.  `clips(indices)` depends on nothing but the indices."""

    spec: ClipSpec

    def __len__(self) -> int: ...

    def clips(self, indices: Sequence[int]) -> Clip:
        """The clips with these indices, in this order, as one batch on the CPU."""
        ...


class DataConfig(Protocol):
    """A typed description of a data set, part of a recipe; `kind` names its module."""

    kind: str

    def build(self, spec: ClipSpec, split: str) -> Dataset:
        """Open one split ("train", "val" or "test") at the given rates and sizes.

        Raises:
            ValueError: if the split is unknown or the data cannot be had at that spec.
        """
        ...

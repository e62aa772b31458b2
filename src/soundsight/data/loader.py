"""Batches in a seeded order that is a function of the step alone, so any step can be resumed."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Int64, UInt64

from soundsight.media.clip import Clip, ClipSpec

Window = Literal["random", "first"]


@runtime_checkable
class Dataset(Protocol):
    """Clips by index.  `clips(indices)` depends on nothing but the indices."""

    spec: ClipSpec

    def __len__(self) -> int: ...

    def clips(self, indices: Sequence[int]) -> Clip:
        """The clips with these indices, in this order, as one batch on the CPU."""
        ...


@runtime_checkable
class DataConfig(Protocol):
    """A typed description of a data set, part of a recipe; `kind` names its module."""

    @property
    def kind(self) -> str:
        """Name of the module under `soundsight.data`."""
        ...

    def build(self, spec: ClipSpec, split: str) -> Dataset:
        """Open one split ("train", "val" or "test") at the given rates and sizes.

        Raises:
            ValueError: if the split is unknown or the data cannot be had at that spec.
        """
        ...


@dataclass(frozen=True)
class Batches:
    """Endless (step, batch) pairs; batch k is a function of the seed and k, not of the start.

    Every epoch visits all clips once, in an order of its own. Epochs are joined into one stream
    that is cut into batches, so no clip is dropped at an epoch's end: a batch may hold the last
    clips of one epoch and the first of the next.

    Iterating prepares a few batches ahead in a background thread, which ends with the iteration,
    whether that is left by `break`, an error, or `close()` of the iterator.

    Raises:
        ValueError: if the data set is empty, or a number is out of range.

    Example:
        >>> from soundsight.data.m3so import TINY
        >>> data = TINY.build(ClipSpec(frames=20, size=32), "train")
        >>> step, clip = next(iter(Batches(data, batch_size=4, seed=0, start=7, frames=15)))
        >>> step, len(clip), clip.spec.frames
        (7, 4, 15)
    """

    dataset: Dataset
    batch_size: int
    """Clips per batch b; may be larger than the data set."""
    seed: int = 0
    """Root of the order and of the windows."""
    start: int = 0
    """First step, from 0."""
    frames: int | None = None
    """Crop every clip to this many frames (and their sound); None takes whole clips."""
    window: Window = "random"
    """Where a crop starts: "random", each clip anywhere by (seed, step), or "first", at 0."""
    prefetch: int = 2
    """Batches prepared ahead; 0 prepares each when it is asked for, without a thread."""

    def __post_init__(self) -> None:
        have = self.dataset.spec.frames
        if len(self.dataset) == 0:
            raise ValueError("the data set is empty: batches need at least one clip")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")
        for name in ("seed", "start", "prefetch"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.frames is not None and not 1 <= self.frames <= have:
            raise ValueError(f"frames={self.frames} must be between 1 and the clips' {have}")
        if self.window not in get_args(Window):
            raise ValueError(f"window={self.window!r} must be one of {', '.join(get_args(Window))}")

    def indices(self, step: int) -> list[int]:
        """Which clips are in the batch of a step."""
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        number = len(self.dataset)
        return [int(_permutation(self.seed, i // number, number)[i % number]) for i in places]

    def batch(self, step: int) -> Clip:
        """The batch of a step."""
        clip = self.dataset.clips(self.indices(step))
        if self.frames is None or self.frames == clip.spec.frames:
            return clip
        if self.window == "first":
            return clip.crop(0, self.frames)
        choices = clip.spec.frames - self.frames + 1
        starts = _words(len(clip), (self.seed, 1, step)) % choices
        windows = [clip[i : i + 1].crop(at, self.frames) for i, at in enumerate(starts.tolist())]
        return Clip.cat(windows)

    def __iter__(self) -> Iterator[tuple[int, Clip]]:
        if self.prefetch == 0:
            for step in count(self.start):
                yield step, self.batch(step)

        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        ahead: deque[Future[Clip]] = deque()
        try:
            for step in count(self.start):
                while len(ahead) < self.prefetch:
                    ahead.append(pool.submit(self.batch, step + len(ahead)))
                clip = ahead.popleft().result()
                # The next one is begun before the consumer is at work on this one.
                ahead.append(pool.submit(self.batch, step + 1 + len(ahead)))
                yield step, clip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _words(number: int, key: tuple[int, int, int]) -> UInt64[np.ndarray, " i"]:
    """Random 64-bit words; the same with every version of NumPy, which `permutation` is not."""
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(number)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, number: int) -> Int64[np.ndarray, " i"]:
    """The order of one epoch."""
    return np.argsort(_words(number, (seed, 0, epoch)), kind="stable")

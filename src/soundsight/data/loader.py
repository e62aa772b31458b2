"""Batches in a seeded order that is a function of the step alone, so any step can be resumed."""

import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from pickle import PicklingError
from threading import Thread
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt64
from torch.utils.data import DataLoader

from soundsight.media.clip import Clip, ClipSpec

Window = Literal["random", "first"]
Balance = Literal["none", "class"]


@runtime_checkable
class Dataset(Protocol):
    """Clips by index.  `clips(indices)` depends on nothing but the indices.

    To be read by several processes it must be picklable; to be balanced by class it also has
    `labels: Int64[np.ndarray, " i"] | None`, the class of every clip, -1 for one that has none.
    """

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

    Iterating prepares a few batches ahead, in a background thread or in `workers` processes, which
    end with the iteration, whether that is left by `break`, an error, or `close()` of the iterator.
    Batches are the same bit for bit, whoever prepares them.

    Each process prepares whole batches, on one thread, and hands them over in shared memory, which
    has to hold `workers * prefetch` batches. A script that iterates with processes must be
    importable: it begins its work under `if __name__ == "__main__"`.

    Raises:
        ValueError: if the data set is empty, a number is out of range, or classes are to be
            balanced and the data set has none. When iterating, if the data set cannot be sent to
            other processes; and whatever reading clips raises.
        OSError: when iterating, if there is no room in shared memory (naming the step) or a process
            died (ChildProcessError, naming the step).

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
    """Batches prepared ahead, by each process if there are several, where it is at least 1; 0
    without processes prepares each batch when it is asked for, without a thread."""
    workers: int = 0
    """Processes that prepare batches; 0 prepares them in a thread of this one."""
    pin: bool = False
    """Put batches into page-locked memory, from which a GPU copies while it computes; of no effect
    without CUDA."""
    balance: Balance = "none"
    """Which clips are drawn. "none": epochs, as above. "class": for each place of a batch a class,
    all with the same probability, and then one of its clips, all with the same probability, with
    replacement, as a function of (seed, step). There are no epochs then: by chance a clip comes
    twice in a batch or not for long. Clips without a class are never drawn."""
    part: tuple[int, int] = (0, 1)
    """Which part (from 0) of how many equal ones of each batch to prepare: clips of one process of
    several that train together. All parts, one after the other, are the batch."""

    def __post_init__(self) -> None:
        have = self.dataset.spec.frames
        if len(self.dataset) == 0:
            raise ValueError("the data set is empty: batches need at least one clip")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size} must be at least 1")
        for name in ("seed", "start", "prefetch", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        which, parts = self.part
        if not 0 <= which < parts or self.batch_size % parts:
            raise ValueError(
                f"part={self.part} must be one of equal parts of batch_size={self.batch_size}"
            )
        if self.frames is not None and not 1 <= self.frames <= have:
            raise ValueError(f"frames={self.frames} must be between 1 and the clips' {have}")
        if self.window not in get_args(Window):
            raise ValueError(f"window={self.window!r} must be one of {', '.join(get_args(Window))}")
        if self.balance not in get_args(Balance):
            choices = ", ".join(get_args(Balance))
            raise ValueError(f"balance={self.balance!r} must be one of {choices}")
        if self.balance == "class" and not self._classes:
            raise ValueError(
                "balance='class' needs clips with classes, and this data set has none; "
                "choose balance='none'"
            )

    def indices(self, step: int) -> list[int]:
        """Which clips are in the batch of a step, all parts of it."""
        if self.balance == "class":
            words = _words(2 * self.batch_size, (self.seed, 2, step))
            which = (words[: self.batch_size] % len(self._classes)).tolist()
            members = [self._classes[i] for i in which]
            drawn = words[self.batch_size :].tolist()
            return [int(m[word % len(m)]) for m, word in zip(members, drawn, strict=True)]
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        number = len(self.dataset)
        return [int(_permutation(self.seed, i // number, number)[i % number]) for i in places]

    def batch(self, step: int) -> Clip:
        """The batch of a step, or the part of it that is asked for."""
        size = self.batch_size // self.part[1]
        mine = slice(self.part[0] * size, (self.part[0] + 1) * size)
        clip = self.dataset.clips(self.indices(step)[mine])
        if self.frames is None or self.frames == clip.spec.frames:
            return clip
        if self.window == "first":
            return Clip.cat([clip.crop(0, self.frames)])  # Without the rest of the memory.
        choices = clip.spec.frames - self.frames + 1
        starts = _words(self.batch_size, (self.seed, 1, step))[mine] % choices
        windows = [clip[i : i + 1].crop(at, self.frames) for i, at in enumerate(starts.tolist())]
        return Clip.cat(windows)

    def __iter__(self) -> Generator[tuple[int, Clip]]:
        if self.workers > 0:
            return self._by_processes()
        return self._by_thread() if self.prefetch > 0 else self._by_caller()

    def _by_caller(self) -> Generator[tuple[int, Clip]]:
        for step in count(self.start):
            yield step, self._pinned(step)

    def _by_thread(self) -> Generator[tuple[int, Clip]]:
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        ahead: deque[Future[Clip]] = deque()
        try:
            for step in count(self.start):
                while len(ahead) < self.prefetch:
                    ahead.append(pool.submit(self._pinned, step + len(ahead)))
                clip = ahead.popleft().result()
                # The next one is begun before the consumer is at work on this one.
                ahead.append(pool.submit(self._pinned, step + 1 + len(ahead)))
                yield step, clip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _by_processes(self) -> Generator[tuple[int, Clip]]:
        arriving = _start_processes(self)
        try:
            for step in count(self.start):
                try:
                    found = next(arriving)
                except (RuntimeError, OSError, EOFError) as error:
                    raise ChildProcessError(_how_it_ended(step, arriving, error)) from error
                if isinstance(found, _Failure):
                    raise found.error()
                yield step, found
        finally:
            arriving._shutdown_workers()  # There is no public way that does not wait for `del`.

    def _pinned(self, step: int) -> Clip:
        clip = self.batch(step)
        return clip.pin_memory() if self.pin and torch.cuda.is_available() else clip

    @cached_property
    def _classes(self) -> list[Int64[np.ndarray, " i"]]:
        """The clips of each class that has any."""
        labels: Int64[np.ndarray, " i"] | None = getattr(self.dataset, "labels", None)
        if labels is None:
            return []
        order = np.argsort(labels, kind="stable")
        classes, firsts = np.unique(labels[order], return_index=True)
        members = np.split(order, firsts[1:])
        return [m for number, m in zip(classes.tolist(), members, strict=True) if number >= 0]


def _words(number: int, key: tuple[int, int, int]) -> UInt64[np.ndarray, " i"]:
    """Random 64-bit words; the same with every version of NumPy, which `permutation` is not."""
    return np.random.PCG64(np.random.SeedSequence(key)).random_raw(number)


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, number: int) -> Int64[np.ndarray, " i"]:
    """The order of one epoch."""
    return np.argsort(_words(number, (seed, 0, epoch)), kind="stable")


class _Steps(torch.utils.data.Dataset["Clip | _Failure"]):
    """What torch's loader sees: a data set whose item k is the batch of step k."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def __getitem__(self, step: int) -> "Clip | _Failure":
        try:
            clip = self.batches.batch(step)
        except Exception as error:
            return _Failure.of(error)
        try:
            # Here an error can be told. Left to the queue, which would do it later, it is lost.
            for part in clip.parts().values():
                part.share_memory_()
        except RuntimeError as error:
            megabytes = sum(part.nbytes for part in clip.parts().values()) / 1e6
            reason = str(error).splitlines()[0]
            told = (
                f"step {step}: no room in shared memory for a batch of {megabytes:,.1f} MB "
                f"({reason}); give it more (/dev/shm; docker run --shm-size), or use fewer or no "
                "workers, or smaller batches"
            )
            return _Failure(OSError, told, "")
        return clip


@dataclass(frozen=True)
class _Failure:
    """An error on its way from a process: many errors cannot be pickled, or not be read again."""

    kind: type[Exception]
    told: str
    trace: str

    @staticmethod
    def of(error: Exception) -> "_Failure":
        trace = "".join(traceback.format_exception(error))
        for kind in (ValueError, OSError):  # What people may have caused, as one line.
            if isinstance(error, kind):
                return _Failure(kind, str(error), trace)
        return _Failure(RuntimeError, f"{type(error).__name__}: {error}", trace)

    def error(self) -> Exception:
        """The error again, with its trace as a note."""
        error = self.kind(self.told)
        if self.trace:
            error.add_note(f"In a loader process:\n{self.trace}")
        return error


def _start_processes(batches: Batches) -> Any:
    """The iterator of torch's loader, its processes running, over all steps from the start on."""
    forkserver = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forkserver else "spawn")
    if forkserver:
        # Imported once, by a process that never computes, of which the others are copies.
        context.set_forkserver_preload([__name__])
    loader = DataLoader(
        _Steps(batches),
        batch_size=None,
        sampler=range(batches.start, sys.maxsize),
        num_workers=batches.workers,
        prefetch_factor=max(1, batches.prefetch),
        pin_memory=batches.pin and torch.cuda.is_available(),
        worker_init_fn=_settle,
        multiprocessing_context=context,
        generator=torch.Generator(),  # The caller's is left alone.
    )
    with _interrupts_held_back(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Got pickle error")  # Said better below.
        try:
            return iter(loader)
        except (PicklingError, AttributeError, TypeError) as error:
            name = type(batches.dataset).__name__
            raise ValueError(
                f"workers={batches.workers}: {name} cannot be sent to other processes ({error}); "
                "use workers=0"
            ) from error


def _how_it_ended(step: int, arriving: Any, error: Exception) -> str:
    """One line about a process that died; its exit code is minus the signal that ended it."""
    # The error may come before the news of the process's end.
    wait([process.sentinel for process in arriving._workers], timeout=1)
    codes = [process.exitcode for process in arriving._workers if process.exitcode is not None]
    if not codes:
        reason = (str(error) or type(error).__name__).splitlines()[-1]
        return f"step {step}: the loader's processes cannot be heard ({reason}); try workers=0"
    hints = {
        "SIGKILL": "killed, perhaps for want of memory: use fewer workers",
        "SIGBUS": "perhaps for want of shared memory (/dev/shm): use fewer workers",
    }
    name = signal.Signals(-codes[0]).name if codes[0] < 0 else ""
    hint = hints.get(name, "workers=0 shows what it does in this process")
    return f"step {step}: a loader process died (exit code {codes[0]}); {hint}"


def _settle(worker: int) -> None:
    """What a process does first: leave Ctrl-C, which reaches it too, and its end to its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Torch's own watch looks at the fork server, which lives as long as what it has started.
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Hold SIGINT back for a while, and for good from processes that are started meanwhile.

    So it cannot end them with a traceback before they ignore it themselves.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows.
        yield
        return
    resource_tracker.ensure_running()  # Its start lifts the mask.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

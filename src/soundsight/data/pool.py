"""Run a function over many tasks in other processes, on this machine or on a Ray cluster.

A process that crashes (a decoder on a damaged file), or hangs, costs its own task and no other.
Both engines are the same iterator: (task, outcome) as tasks end, in no particular order.
"""

import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait
from itertools import islice
from multiprocessing import get_context
from typing import Any

from pebble import ProcessExpired, ProcessPool

TRIES = 2
"""A task whose process crashes is tried this often: the crash may have had another cause."""
AHEAD = 3
"""Tasks given out per process: one at work, the others ready."""


class LostError(RuntimeError):
    """A task whose process crashed or hung; says how."""


Task = tuple[Any, ...]
Outcome = BaseException | None


def run_local(
    function: Callable[..., None], tasks: Sequence[Task], *, workers: int, timeout_s: float | None
) -> Generator[tuple[int, Outcome], None, None]:
    """Run `function(*task)` for every task in processes of this machine.

    Args:
        function: of a module's top level; what it has to tell it writes to files.
        tasks: its arguments.
        workers: processes; 0 runs all in this one.
        timeout_s: a task that takes longer is ended and lost; None waits for ever.

    Yields:
        The index of each task that has ended, and None or what went wrong: `LostError` if its
        process did not come back, else what it raised.
    """
    if workers == 0:
        for index, task in enumerate(tasks):
            yield index, _attempt(function, task)
        return
    pool = ProcessPool(max_workers=workers, context=get_context("spawn"), initializer=_be_quiet)
    left = iter(range(len(tasks)))
    running: dict[Future[None], tuple[int, int]] = {}

    def give(index: int, attempt: int) -> None:
        future = pool.schedule(function, args=tasks[index], timeout=timeout_s)
        running[future] = (index, attempt)

    try:
        for index in islice(left, workers * AHEAD):
            give(index, 1)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                index, attempt = running.pop(future)
                error = future.exception()
                if isinstance(error, ProcessExpired) and attempt < TRIES:
                    give(index, attempt + 1)
                    continue
                following = next(left, None)
                if following is not None:
                    give(following, 1)
                yield index, _told(error, timeout_s)
    finally:
        pool.stop()
        pool.join()


def run_ray(
    function: Callable[..., None], tasks: Sequence[Task], *, address: str | None
) -> Generator[tuple[int, Outcome], None, None]:
    """Run `function(*task)` for every task on a Ray cluster; see `run_local`.

    Args:
        function: as for `run_local`.
        tasks: its arguments. The files that they name must be reachable from every machine.
        address: of the cluster; None starts one on this machine.

    Raises:
        ValueError: if Ray is not installed, or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError:
        raise ValueError('Ray is not installed: pip install "soundsight[cluster]"') from None
    local: dict[str, Any] = {"include_dashboard": False, "object_store_memory": 100_000_000}
    try:
        ray.init(address=address, log_to_driver=False, **({} if address else local))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ValueError(f"no Ray cluster at {address}: {error}") from None
    try:
        remote = ray.remote(max_retries=TRIES - 1)(_attempt)
        cores = int(ray.cluster_resources().get("CPU", 1))
        left = iter(range(len(tasks)))
        running: dict[Any, int] = {}
        for index in islice(left, cores * AHEAD):
            running[remote.remote(function, tasks[index])] = index
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            index = running.pop(done)
            following = next(left, None)
            if following is not None:
                running[remote.remote(function, tasks[following])] = following
            try:
                outcome: Outcome = ray.get(done)
            except ray.exceptions.RayError as error:
                outcome = LostError(f"its process crashed ({type(error).__name__})")
            yield index, outcome
    finally:
        ray.shutdown()


def _attempt(function: Callable[..., None], task: Task) -> Outcome:
    """Run a task; an error is returned."""
    try:
        function(*task)
    except Exception as error:
        return error
    return None


def _told(error: BaseException | None, timeout_s: float | None) -> Outcome:
    """What a future's exception means."""
    if isinstance(error, ProcessExpired):
        return LostError(f"its process crashed twice (exit code {error.exitcode})")
    if isinstance(error, TimeoutError):
        return LostError(f"took longer than {timeout_s:g} s")
    return error


def _be_quiet() -> None:
    """An interruption is the main process's business; it ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

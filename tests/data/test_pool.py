"""Many tasks in other processes: one that crashes, hangs or fails costs no other."""

import os
import signal
import time
from pathlib import Path

import pytest

from soundsight.data.pool import LostError, run_local


def work(folder: str, number: int) -> None:
    """Fail in a way that the number tells; else leave a file."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)  # As a decoder that breaks.
    if number == 2:
        raise OSError(28, "No space left on device", "somewhere")
    if number == 3:
        first = Path(folder) / "tried"
        if not first.exists():
            first.touch()
            os._exit(7)
    if number == 4:
        time.sleep(60)
    (Path(folder) / str(number)).write_text(str(os.getpid()))


def test_each_failure_is_that_task_s_own(tmp_path):
    tasks = [(str(tmp_path), i) for i in range(12)]
    outcomes = dict(run_local(work, tasks, workers=2, timeout_s=4.0))
    assert sorted(outcomes) == list(range(12))
    assert isinstance(outcomes[1], LostError)
    assert "crashed twice" in str(outcomes[1])
    assert isinstance(outcomes[2], OSError)
    assert outcomes[2].errno == 28
    assert outcomes[3] is None  # The second try.
    assert isinstance(outcomes[4], LostError)
    assert "longer than 4 s" in str(outcomes[4])
    done = {p.name for p in tmp_path.iterdir()} - {"tried"}
    assert done == {"0", "3", *map(str, range(5, 12))}
    pids = {(tmp_path / name).read_text() for name in done}
    assert str(os.getpid()) not in pids


def test_without_processes_errors_are_outcomes_too(tmp_path):
    outcomes = dict(
        run_local(work, [(str(tmp_path), 2), (str(tmp_path), 5)], workers=0, timeout_s=None)
    )
    assert isinstance(outcomes[0], OSError)
    assert outcomes[1] is None
    assert (tmp_path / "5").read_text() == str(os.getpid())


@pytest.mark.parametrize("workers", [0, 2])
def test_leaving_early_ends_the_processes(tmp_path, workers):
    tasks = [(str(tmp_path), 10 + i) for i in range(50)]
    running = run_local(work, tasks, workers=workers, timeout_s=None)
    next(running)
    running.close()
    left = {p.name for p in tmp_path.iterdir()}
    time.sleep(0.3)
    assert {p.name for p in tmp_path.iterdir()} == left
    assert len(left) < 50

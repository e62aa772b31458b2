"""Real processes, killed and stopped at moments they did not choose."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.training import train_toy
from tests.training.toy_models import Gan, Linear, Waves, build
from torch import Generator

from soundsight.contract import Loss
from soundsight.media.clip import Clip
from soundsight.training.checkpoint import states
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Interrupted, TrainConfig, train

ROOT = Path(__file__).parents[2]


def start(run: Path, *, steps: int, every: int, delay_s: float) -> subprocess.Popen:
    """A training that resumes what is there."""
    command = [sys.executable, "-m", "tests.training.train_toy"]
    command += [str(run), str(steps), str(every), str(delay_s)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def wait_for_a_new_state(process: subprocess.Popen, run: Path) -> None:
    before = states(run)
    while states(run) == before and process.poll() is None:
        time.sleep(0.002)


def result(run: Path) -> dict[str, bytes]:
    """All that a finished training left, byte for byte."""
    last = states(run)[-1]
    names = ("model", "ema", "optim")
    files = {name: (last / f"{name}.safetensors").read_bytes() for name in names}
    return files | {"weights": (run / "weights.safetensors").read_bytes(), "at": last.name.encode()}


def assert_stats_have_no_gap_and_no_double(run: Path, steps: int) -> None:
    logged = [json.loads(line)["step"] for line in (run / "stats.jsonl").read_text().splitlines()]
    assert logged == [*range(10, steps + 1, 10)]


def kill_until_done(run: Path, *, steps: int, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    killed = 0
    for _ in range(kills):
        process = start(run, steps=steps, every=1, delay_s=0.003)
        wait_for_a_new_state(process, run)
        time.sleep(moments.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
    assert killed == kills, "the training was over before it was killed: give it more steps"
    train_toy.go(run, steps, 100)


@pytest.mark.slow
def test_killed_three_times_ends_bit_for_bit_as_if_never(tmp_path: Path, capfd) -> None:
    train_toy.go(tmp_path / "never", 150, 999)
    kill_until_done(tmp_path / "killed", steps=150, kills=3, seed=0)
    assert result(tmp_path / "killed") == result(tmp_path / "never")
    assert_stats_have_no_gap_and_no_double(tmp_path / "killed", 150)
    assert list((tmp_path / "killed").rglob(".tmp-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
def test_killed_many_times_ends_bit_for_bit_as_if_never(tmp_path: Path, capfd, seed: int) -> None:
    train_toy.go(tmp_path / "never", 500, 999)
    kill_until_done(tmp_path / "killed", steps=500, kills=8, seed=seed)
    assert result(tmp_path / "killed") == result(tmp_path / "never")
    assert_stats_have_no_gap_and_no_double(tmp_path / "killed", 500)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_process_saves_and_the_rest_is_the_same(tmp_path: Path, capfd, number) -> None:
    run, steps = tmp_path / "stopped", 60
    train_toy.go(tmp_path / "never", steps, 1000)
    process = start(run, steps=steps, every=7, delay_s=0.02)
    wait_for_a_new_state(process, run)
    time.sleep(0.03)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopping after this step" in err
    state = states(run)[-1]
    assert json.loads(out) == {"state": str(state)}
    assert int(state.name[5:]) < steps
    train_toy.go(run, steps, 1000)
    assert result(run) == result(tmp_path / "never")
    assert_stats_have_no_gap_and_no_double(run, steps)


class Signalled(Linear):
    """Sends its own process signals in step `at` (from 0)."""

    def __init__(self, at: int = 2, signals: tuple = (signal.SIGINT,)) -> None:
        super().__init__()
        self.at, self.signals = at, signals

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        if step == self.at:
            for number in self.signals:
                os.kill(os.getpid(), number)
        yield from super().losses(clip, step=step, generator=generator)


def train_signalled(run: Path, **options) -> None:
    config = TrainConfig(steps=6, batch_size=2, optim={"net": OptimConfig()}, device="cpu")
    model = build(Signalled, **options)
    train(model, Waves(), config, run, recipe={}, progress=False)


def test_the_step_is_finished_and_the_handlers_are_put_back(tmp_path: Path, capfd) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="step_00000003") as stopped:
        train_signalled(tmp_path)
    assert stopped.value.state == states(tmp_path)[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_second_sigint_leaves_at_once_and_a_second_sigterm_does_not(tmp_path, capfd) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_signalled(tmp_path / "a", signals=(signal.SIGTERM, signal.SIGINT))
    assert states(tmp_path / "a") == []
    with pytest.raises(Interrupted, match="step_00000003"):
        train_signalled(tmp_path / "b", signals=(signal.SIGINT, signal.SIGTERM))


def test_a_signal_in_the_last_step_still_tells(tmp_path: Path, capfd) -> None:
    with pytest.raises(Interrupted, match="step_00000006"):
        train_signalled(tmp_path, at=5)
    assert (tmp_path / "weights.safetensors").exists()


def test_other_threads_train_without_handlers(tmp_path: Path) -> None:
    config = TrainConfig(steps=2, batch_size=2, optim={"net": OptimConfig()}, device="cpu")
    with ThreadPoolExecutor(1) as pool:
        arguments = (build(Linear), Waves(), config, tmp_path)
        pool.submit(train, *arguments, recipe={}, progress=False).result()
    assert states(tmp_path)[-1].name == "step_00000002"


def test_a_full_disk_keeps_the_last_state_and_the_run_can_go_on(tmp_path: Path, capfd) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Filling(Gan):
        def losses(self, clip, *, step, generator):
            if step == 7:  # From here on no file may hold a state.
                resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
            yield from super().losses(clip, step=step, generator=generator)

    train_toy.go(tmp_path / "never", 12, 5)
    config = train_toy.config(12, 5)
    recipe = {"train": asdict(config)}
    try:
        with pytest.raises(OSError, match="step_00000010"):
            train(build(Filling), Waves(), config, tmp_path / "full", recipe=recipe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in states(tmp_path / "full")] == ["step_00000005"]
    assert list((tmp_path / "full").rglob(".tmp-*")) == []
    train_toy.go(tmp_path / "full", 12, 5)
    assert result(tmp_path / "full") == result(tmp_path / "never")

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from soundsight.training.log import Means, ProgressLine, StatsLog


def test_means_over_the_steps_in_which_a_term_was_there() -> None:
    means = Means()
    means.add(1, {"g/a": torch.tensor(1.0), "g/b": torch.tensor(10.0)})
    means.add(2, {"g/a": torch.tensor(2.0)})
    means.add(3, {"g/a": torch.tensor(6.0, dtype=torch.bfloat16), "g/b": torch.tensor(20)})
    assert means.read() == {"g/a": 3.0, "g/b": 15.0}
    assert means.read() == {}


def test_the_first_broken_scalar_is_named() -> None:
    means = Means()
    means.add(1, {"g/a": torch.tensor(1.0), "g/b": torch.tensor(1.0)})
    assert means.first_broken() is None
    means.add(2, {"d/a": torch.tensor(1.0)})
    means.add(3, {"g/a": torch.tensor(1.0), "g/b": torch.tensor(math.inf)})
    means.add(3, {"d/a": torch.tensor(math.nan)})
    means.add(4, {"g/a": torch.tensor(math.nan), "g/b": torch.tensor(1.0)})
    assert means.first_broken() == (3, "g/b")


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_stats_are_cut_at_the_resumed_step(tmp_path: Path) -> None:
    log = StatsLog(tmp_path, step=0)
    for step in (10, 20, 30):
        log.write(step, {"g/mse": step / 10})
    log.close()
    with (tmp_path / "stats.jsonl").open("a") as file:
        file.write('{"step": 15, "g/ms')
    log = StatsLog(tmp_path, step=20)
    log.write(25, {"g/mse": math.nan})
    log.close()
    assert lines(tmp_path) == [
        {"step": 10, "g/mse": 1.0},
        {"step": 20, "g/mse": 2.0},
        {"step": 25, "g/mse": None},
    ]


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = StatsLog(tmp_path, step=0, tensorboard=True)
    log.write(10, {"g/mse": 0.25})
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("g/mse")] == [(10, 0.25)]


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'soundsight\[track\]'"):
        StatsLog(tmp_path, step=0, tensorboard=True)


def test_progress_in_a_log_file_is_a_line_now_and_then(capsys) -> None:
    with ProgressLine(steps=4000, start=1000, shown=True) as line:
        for done in range(1001, 4001):
            line.step(done)
            if done % 100 == 0:
                line.losses(done, {"generator": 0.12345}, 32.0)
    out, err = capsys.readouterr()
    first, last = err.splitlines()
    assert first.startswith("step 1100/4000, 0:00:0")
    assert last == "step 4000/4000, 0:00:00 left, 32 clips/s, loss: generator 0.1235"
    assert out == ""


def test_progress_can_be_silent(capsys) -> None:
    with ProgressLine(steps=2, start=0, shown=False) as line:
        line.step(2)
        line.losses(2, {"g": 1.0}, 1.0)
        line.say("hello")
    assert capsys.readouterr() == ("", "")


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressLine(steps=8, start=0, shown=True) as line:
        line.say("[going on]")
        line.losses(8, {"generator": 0.5}, 3.25)
        line.step(8)
    out, err = capsys.readouterr()
    assert "8/8" in err
    assert "3.25 clips/s, loss: generator 0.5" in err
    assert "[going on]" in err
    assert out == ""

"""Several processes that train one model, compared with one process that does the same."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.training.toy_models import Waves

from soundsight import cli, recipes
from soundsight.data.loader import Batches
from soundsight.training.checkpoint import states
from soundsight.training.config import TrainConfig
from soundsight.training.distributed import ALONE, Ranks, ranks_from_environment

ROOT = Path(__file__).parents[2]


def launch(*trainings: dict[str, Any]) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.train_ranks", json.dumps(trainings)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=ROOT)


def finish(process: subprocess.Popen) -> tuple[list[list[int]], str]:
    """Exit codes by training and rank, and stderr."""
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()][-1::-2][::-1], err


def asked(run: Path, kind: str, ranks: int, **options: Any) -> dict[str, Any]:
    return {"run": str(run), "kind": kind, "ranks": ranks, "options": options}


def left(run: Path) -> dict[str, bytes]:
    """All that a finished training left but its times, byte for byte."""
    last = states(run)[-1]
    files = {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
    return files | {"weights": (run / "weights.safetensors").read_bytes(), "at": last.name.encode()}


def stats(run: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    timing = ("seconds", "wait_s", "clips_per_s")
    return [{k: v for k, v in line.items() if k not in timing} for line in lines]


def assert_close(run: Path, other: Path) -> None:
    """The same to rounding: weights, moving average, what the optimizers remember, statistics."""
    for file in ("model", "ema", "optim"):
        ours, theirs = (load_file(states(r)[-1] / f"{file}.safetensors") for r in (run, other))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    assert [line.keys() for line in stats(run)] == [line.keys() for line in stats(other)]
    for ours, theirs in zip(stats(run), stats(other), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


# ---- What equals what ----------------------------------------------------------------------------


MARKS = {
    "uneven": "multiple",
    "poisoned": "finite",
    "divided": "same phases",
    "odd": "another recipe",
}
"""Words of the errors of trainings below."""


@dataclass
class Done:
    """The trainings below, run by one command, because importing torch takes longer than they."""

    folder: Path
    codes: dict[str, list[int]]
    err: dict[str, list[str]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    at = tmp_path_factory.mktemp("ranks")
    trainings = {
        "duel_1": asked(at / "duel_1", "Duel", 1),
        "duel_2": asked(at / "duel_2", "Duel", 2),
        "duel_4_halves": asked(at / "duel_4_halves", "Duel", 4, accumulate=2),
        "first_half": asked(at / "changing", "Duel", 2, steps=2),
        "second_half": asked(at / "changing", "Duel", 1),
        "other_half": asked(at / "growing", "Duel", 1, steps=2),
        "growing": asked(at / "growing", "Duel", 2),
        "norm_1": asked(at / "norm_1", "NormedDuel", 1),
        "norm_2": asked(at / "norm_2", "NormedDuel", 2, sync_batch_norm=True),
        "norm_apart": asked(at / "norm_apart", "NormedDuel", 2),
        "partial_1": asked(at / "partial_1", "Partial", 1),
        "partial_2": asked(at / "partial_2", "Partial", 2),
        "uneven": asked(at / "uneven", "Duel", 2, batch_size=6, accumulate=2),
        "poisoned": asked(at / "poisoned", "Poisoned", 2, checkpoint_every=2),
        "divided": asked(at / "divided", "Divided", 2),
        "odd": asked(at / "odd", "Duel", 2, odd=True),
    }
    codes, err = finish(launch(*trainings.values()))
    told = defaultdict(list)
    for line in err.splitlines():
        if line.startswith("rank "):
            for name, mark in MARKS.items():
                told[name] += [line] if mark in line else []
    assert "Traceback" not in err
    return Done(at, dict(zip(trainings, codes, strict=True)), told)


@pytest.mark.parametrize("other", ["duel_2", "duel_4_halves", "changing", "growing"])
def test_several_ranks_do_what_one_does(done: Done, other: str) -> None:
    """With whatever number of ranks and micro-batches, even if it changes halfway."""
    assert all(c == [0] * len(c) for name, c in done.codes.items() if "duel" in name)
    assert_close(done.folder / other, done.folder / "duel_1")


def test_synchronized_batch_norm_sees_the_whole_batch(done: Done) -> None:
    assert_close(done.folder / "norm_2", done.folder / "norm_1")
    with pytest.raises(AssertionError):
        assert_close(done.folder / "norm_apart", done.folder / "norm_1")


def test_a_weight_that_one_rank_does_not_use_is_updated_in_all(done: Done) -> None:
    assert_close(done.folder / "partial_2", done.folder / "partial_1")
    adam = load_file(states(done.folder / "partial_2")[-1] / "optim.safetensors")
    assert {name.split("/")[1].split(".")[1] for name in adam} == {"0", "1"}  # None has used "2".


def test_an_uneven_batch_is_refused(done: Done) -> None:
    assert done.codes["uneven"] == [1, 1]
    assert "batch_size=6 is no multiple of 2 processes x accumulate=2" in done.err["uneven"][0]
    assert not (done.folder / "uneven").exists()


def test_what_is_not_finite_in_one_rank_stops_all_with_the_same_words(done: Done) -> None:
    assert done.codes["poisoned"] == [1, 1]
    first, second = sorted(done.err["poisoned"])
    assert first.removeprefix("rank 0") == second.removeprefix("rank 1")
    assert "step 3: net/total is not finite; the last good state is" in first
    assert "step_00000002" in first
    assert [path.name for path in states(done.folder / "poisoned")] == ["step_00000002"]


def test_ranks_in_different_phases_are_told_so(done: Done) -> None:
    assert done.codes["divided"] == [1, 1]
    assert "rank 0 is at: net, mse, total" in min(done.err["divided"])
    assert "rank 1 is at: the end of the step" in max(done.err["divided"])


def test_ranks_with_different_recipes_are_refused(done: Done) -> None:
    assert done.codes["odd"] == [1, 1]
    assert len(done.err["odd"]) == 1
    assert "rank 1 has another recipe than rank 0" in done.err["odd"][0]
    assert not list((done.folder / "odd").rglob("step_*"))


# ---- Ends that nobody planned --------------------------------------------------------------------


def wait_for_a_new_state(run: Path, before: list[Path]) -> None:
    while states(run) == before:
        time.sleep(0.01)


@pytest.mark.slow
def test_one_rank_is_asked_to_stop_and_then_one_is_killed(tmp_path: Path) -> None:
    """All stop, no word is lost, and a resumed training ends like one that was left alone."""
    run, never = tmp_path / "run", tmp_path / "never"
    slow: dict[str, Any] = {"steps": 150, "checkpoint_every": 3, "delay_s": 0.03}
    quick: dict[str, Any] = {"steps": 150, "checkpoint_every": 999}
    process = launch(
        *[asked(run, "Gan", 2, **slow)] * 2,
        *[asked(folder, "Gan", 2, **quick) for folder in (run, never)],
    )
    assert process.stdout is not None
    for number, codes in ((signal.SIGINT, [130, 130]), (signal.SIGKILL, [1, -signal.SIGKILL])):
        before = states(run)
        _, second = json.loads(process.stdout.readline())
        wait_for_a_new_state(run, before)
        os.kill(second, number)
        assert json.loads(process.stdout.readline()) == codes
        assert int(states(run)[-1].name[5:]) < 150
        assert list(run.rglob(".tmp-*")) == []
    codes, err = finish(process)
    assert codes == [[0, 0], [0, 0]], err
    assert err.count("rank 0: another process of this training has ended") == 1
    assert "--resume" in err
    assert "Traceback" not in err
    assert left(run) == left(never)


RECIPE = "judge_image_tiny"


def torchrun(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "soundsight", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.mark.slow
def test_the_command_line_under_torchrun(tmp_path: Path) -> None:
    """With loader processes, validation, and one document on stdout."""
    run = tmp_path / "run"
    command = ["train", RECIPE, "--out", str(run), "--train.device", "cpu", "--train.steps", "3"]
    command += ["--train.workers", "1", "--train.validate-every", "2", "--json"]
    result = torchrun(*command)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"run": str(run), "recipe": RECIPE, "steps": 3}
    assert result.stderr.count(f"training {RECIPE} in") == 1
    assert "2 processes" in result.stderr
    assert any("validate/" in key for line in stats(run) for key in line)
    assert recipes.read(run / "recipe.json").name == RECIPE


@pytest.mark.slow
def test_what_the_first_rank_refuses_ends_the_others(tmp_path: Path) -> None:
    (tmp_path / "state" / "step_00000003").mkdir(parents=True)
    result = torchrun("train", RECIPE, "--out", str(tmp_path), "--train.device", "cpu")
    assert result.returncode == 1
    assert "soundsight: error: " in result.stderr
    assert "already holds a training (step_00000003)" in result.stderr


# ---- Without other processes ---------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["none", "class"])
def test_the_parts_of_a_batch_make_the_batch(balance: str) -> None:
    data = Waves(10)
    data.labels = torch.arange(10).numpy() % 3
    asked: dict[str, Any] = {"batch_size": 6, "seed": 4, "frames": 1, "balance": balance}
    whole = Batches(data, **asked)
    for step in (0, 1, 7):
        parts = [Batches(data, **asked, part=(rank, 3)).batch(step) for rank in range(3)]
        assert [len(part) for part in parts] == [2, 2, 2]
        made, given = (clip.parts() for clip in (type(parts[0]).cat(parts), whole.batch(step)))
        assert all(torch.equal(made[name], given[name]) for name in given)


@pytest.mark.parametrize("part", [(0, 4), (3, 3), (-1, 2)])
def test_there_are_only_equal_parts(part: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="equal parts of batch_size=6"):
        Batches(Waves(), batch_size=6, part=part)


def test_the_environment_tells_who_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks_from_environment() == ALONE
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert ranks_from_environment() == ALONE
    monkeypatch.setenv("RANK", "5")
    assert ranks_from_environment() == Ranks(5, 8, 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert ranks_from_environment() == Ranks(5, 8, 1)


def test_other_verbs_are_not_for_torchrun(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, named in (("0", ""), ("1", "rank 1: ")):
        monkeypatch.setenv("RANK", rank)
        assert cli.main(["recipes"]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"soundsight: {named}error: recipes runs in one process")
        assert said.out == ""


def test_every_rank_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = Ranks(5, 8, 1)
    assert ALONE.place("cuda:3") == "cuda:3"
    assert (ranks.place("cpu"), ranks.place("cuda")) == ("cpu", "cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ranks.place("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert ranks.place("auto") == "cuda:1"
    with pytest.raises(ValueError, match="each of 8 processes takes a GPU of its own"):
        ranks.place("cuda:0")


def test_one_process_opens_no_process_group() -> None:
    values = [torch.ones(2), torch.zeros(1)]
    ALONE.average(values)
    ALONE.copy_first(values)
    ALONE.wait()
    assert (ALONE.any(True), ALONE.any(False), ALONE.mean(3.0)) == (True, False, 3.0)
    assert (ALONE.share(b"x"), ALONE.meet("here", [True, False])) == (b"x", [True, False])
    assert not torch.distributed.is_initialized()


def test_synchronized_batch_norm_is_not_compiled() -> None:
    with pytest.raises(ValueError, match="compile=False"):
        TrainConfig(steps=1, batch_size=1, optim={}, sync_batch_norm=True, compile=True)

"""A suite trains, scores and shows: real processes, interrupted and gone on with."""

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from soundsight import sampling
from soundsight.cli import main
from soundsight.data.folder import VideoFolder
from soundsight.evaluation import suite as scoring
from soundsight.evaluation.claims import Claim
from soundsight.experiment import run_evaluation
from soundsight.experiment.suite import gather, run_suite
from soundsight.experiment.suite_plan import Planned, plan
from soundsight.suites import Row, Suite

TINY = "sound2sight_m3so_tiny"
FEW = {"train.steps": 4, "evaluate.clips": 4, "evaluate.resamples": 20}
DIVERGES = {"generator": {"lr": 1e30}, "discriminator": {"lr": 1e30}}
SUITE = Suite(
    title="Little",
    about="Two rows.",
    rows=(Row("hears", TINY), Row("deaf", TINY, {"model.audio": False})),
    claims=(Claim("Sound helps", "hears", "deaf", "psnr", "mean", 9),),
    frames=(4, 9),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder of a finished suite, and what was said."""
    out, said = tmp_path_factory.mktemp("suite"), []
    run_suite(SUITE, out, changes=FEW, jobs=2, say=said.append)
    return out, said


def plan_of(out) -> list[Planned]:
    return plan(SUITE, out, seeds=(0,), changes=FEW)


def test_every_row_is_trained(done):
    out, said = done
    names = {path.name for path in (out / "runs").iterdir()}
    assert names == {"hears_seed0", "deaf_seed0"}
    for one in plan_of(out):
        run = sampling.load_run(one.run)
        assert run.recipe.train.seed == one.seed
        assert ("audio" in run.model.takes) == (one.row == "hears")
    assert sum("done" in line for line in said) == 2


def test_a_row_scores_what_evaluate_says_of_its_run(done):
    out, _ = done
    (one,) = [o for o in plan_of(out) if o.name == "hears_seed0"]
    alone = run_evaluation({"hears": sampling.load_run(one.run)}, protocol=one.recipe.evaluate)
    kept = scoring.read(one.scores)
    assert kept.per_clip.keys() == alone.per_clip.keys()
    for key, values in alone.per_clip.items():
        assert np.allclose(kept.per_clip[key], values, rtol=1e-6, atol=1e-9), key


def test_the_report_has_rows_claims_and_costs(done):
    out, _ = done
    found = json.loads((out / "report" / "scores.json").read_text())
    names = {row["name"] for row in found["rows"]}
    assert {"hears", "deaf", "hears, seed 0", "hears:shuffled_audio", "copy_last"} <= names
    (claim,) = found["claims"]
    assert set(claim["seeds"]) == {"0"}
    trained = found["protocol"]["trainings"]
    assert [(t["row"], t["seed"], t["steps"]) for t in trained] == [("hears", 0, 4), ("deaf", 0, 4)]
    assert found["protocol"]["changes"] == FEW
    assert found["protocol"]["scored"]["deaf, seed 0"]["hardware"]["threads"] >= 1
    assert found["protocol"]["rows"]["deaf"] == {"recipe": TINY, "model.audio": False}


def test_what_is_done_is_not_done_again(done):
    out, _ = done
    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("weights.safetensors")}
    said: list[str] = []
    run_suite(SUITE, out, changes=FEW, say=said.append)
    assert said == ["2 of 2 runs are trained and scored"]
    assert before == {p: p.stat().st_mtime_ns for p in before}


@pytest.mark.slow
def test_another_protocol_is_scored_anew_and_not_trained_anew(done, tmp_path):
    out = copy_of(done, tmp_path)
    before = (out / "runs" / "hears_seed0" / "stats.jsonl").read_bytes()
    row = SUITE.only(("hears",))
    run_suite(row, out, changes=FEW | {"evaluate.clips": 5}, say=lambda line: None)
    planned = plan(row, out, seeds=(0,), changes=FEW | {"evaluate.clips": 5})
    assert gather(row, planned).value("hears", "psnr", "mean").n == 5
    assert (out / "runs" / "hears_seed0" / "stats.jsonl").read_bytes() == before


def test_a_run_that_learned_otherwise_is_refused(done):
    out, _ = done
    with pytest.raises(ValueError, match=r"hears_seed0 was trained with another train\.steps"):
        plan(SUITE, out, seeds=(0,), changes=FEW | {"train.steps": 5})
    other = dataclasses.replace(SUITE, rows=(Row("hears", TINY, {"model.z_dim": 3}),), claims=())
    with pytest.raises(ValueError, match=r"hears_seed0 was trained with another model\.z_dim"):
        plan(other, out, seeds=(0,), changes=FEW)


def copy_of(done, tmp_path):
    """A finished suite that may be spoiled."""
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    return out


def test_other_data_in_the_same_folder_is_refused(done, tmp_path):
    out = copy_of(done, tmp_path)
    recipe_file = out / "runs" / "hears_seed0" / "recipe.json"
    document = json.loads(recipe_file.read_text())
    document["data"] = {"kind": "folder", "path": "/a"}
    recipe_file.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"was trained with another .*data\.path"):
        plan(SUITE.only(("hears",)), out, seeds=(0,), changes=FEW, data=VideoFolder(path="/b"))


def test_a_torn_file_of_scores_is_no_score(done, tmp_path):
    out = copy_of(done, tmp_path)
    one, *_ = plan_of(out)
    assert one.scored() is not None
    one.scores.write_bytes(one.scores.read_bytes()[: one.scores.stat().st_size // 2])
    assert one.scored() is None


def test_scores_of_other_weights_or_of_another_protocol_are_none(done, tmp_path):
    out = copy_of(done, tmp_path)
    one, *_ = plan_of(out)
    assert one.scored() is not None
    (other, *_) = plan(SUITE, out, seeds=(0,), changes=FEW | {"evaluate.clips": 5})
    assert other.scored() is None
    weights = one.run / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert one.scored() is None


@pytest.mark.slow
def test_weights_older_than_the_last_state_are_not_scored(done, tmp_path):
    out = copy_of(done, tmp_path)
    (one,) = (o for o in plan_of(out) if o.row == "hears")
    own = (one.run / "weights.safetensors").read_bytes()
    # Killed between writing the last state and the weights.
    (one.run / "weights.safetensors").write_bytes(own[:-1] + b"!")
    assert one.scored() is None
    run_suite(SUITE.only(("hears",)), out, seeds=(0,), changes=FEW, say=lambda line: None)
    assert (one.run / "weights.safetensors").read_bytes() == own
    assert one.scored() is not None


@pytest.mark.slow
def test_one_failure_leaves_the_others_and_their_page(tmp_path):
    # Its loss becomes infinite in the first steps.
    broken = Row("broken", TINY, {"model.beta": 1e38, "train.optim": DIVERGES})
    suite = Suite(title="t", about="a", rows=(broken, SUITE.rows[1]), frames=(4,))
    said: list[str] = []
    with pytest.raises(
        ValueError, match=r"1 of 2 runs failed, .*index\.html is without them: brok"
    ):
        run_suite(suite, tmp_path, changes=FEW, say=said.append)
    assert any(line == "broken_seed0: FAILED" for line in said)
    found = json.loads((tmp_path / "report" / "scores.json").read_text())
    assert "deaf" in {row["name"] for row in found["rows"]}
    assert "not finite" in found["protocol"]["failed"]["broken_seed0"]


def interrupted(out, signals: list[int]) -> None:
    """Start a suite of one row, interrupt it as soon as it trains."""
    process = subprocess.Popen(command(out), stderr=subprocess.PIPE, text=True)
    stats = out / "runs" / "no_audio_seed0" / "stats.jsonl"
    deadline = time.time() + 90
    while not (stats.is_file() and stats.stat().st_size) and time.time() < deadline:
        time.sleep(0.05)
    for number in signals:
        process.send_signal(number)
    _, err = process.communicate(timeout=60)
    if signal.SIGKILL not in signals:
        assert process.returncode == 130, err
        assert "the same command goes on from there" in err
        assert "Traceback" not in err


def command(out) -> list[str]:
    return [
        sys.executable, "-m", "soundsight", "compare", "--suite", "sound2sight_table1_tiny",
        "--rows", "no_audio", "--budget", "400", "--clips", "4", "--out", str(out),
        "--set", "train.checkpoint_every=100000",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_suite_goes_on_to_the_same_end(tmp_path, number):
    for name, signals in (("stopped", [number]), ("never", [])):
        out = tmp_path / name
        if signals:
            interrupted(out, signals)
            states = out / "runs" / "no_audio_seed0" / "state"
            deadline = time.time() + 30  # After a kill of the parent the training ends by itself.
            while not list(states.glob("step_*")) and time.time() < deadline:
                time.sleep(0.2)
            (state,) = states.glob("step_*")
            assert 0 < int(state.name.removeprefix("step_")) < 400
            time.sleep(1)
        subprocess.run(command(out), check=True, capture_output=True)
    weights = [
        (tmp_path / name / "runs" / "no_audio_seed0" / "weights.safetensors").read_bytes()
        for name in ("stopped", "never")
    ]
    assert weights[0] == weights[1]


def refused(capsys, *arguments) -> str:
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    return capsys.readouterr().err


def test_requests_that_make_no_sense_are_refused(capsys, tmp_path):
    suite = ("compare", "--suite", "sound2sight_table1_tiny", "--out", tmp_path)
    assert "needs run folders, or a whole table" in refused(capsys, "compare")
    assert "--budget 5: is for a --suite" in refused(capsys, "compare", "x", "--budget", "5")
    assert "is for generation" in refused(capsys, *suite, "--extractor", "i3d=x")
    assert "a suite trains its own runs" in refused(capsys, "compare", "somerun", *suite[1:])
    assert "evaluate: clips=1 must be at least 2" in refused(capsys, *suite, "--clips", "1")
    assert "cannot be used" in refused(capsys, *suite, "--device", "nowhere")
    assert "no suite 'tabel'" in refused(capsys, "compare", "--suite", "tabel")
    assert "no row 'nobody'" in refused(capsys, *suite, "--rows", "nobody")
    assert "no recipe 'nothing'" in refused(capsys, *suite, "--rows", "a=nothing")
    assert "write PART.FIELD=VALUE" in refused(capsys, *suite, "--set", "digits")
    assert "--jobs 0" in refused(capsys, *suite, "--jobs", "0")
    assert "makes its own data" in refused(capsys, *suite, "--data", tmp_path)

"""The verbs, called as the shell calls them; bad input gives one line and exit code 2."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from soundsight import recipes
from soundsight.cli import main
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint_scores import JointProtocol
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode, probe
from soundsight.models import joint_gan
from soundsight.models.judges import ClassifierConfig
from soundsight.training.checkpoint import save_weights
from soundsight.training.trainer import TrainConfig

TINY = "sound2sight_m3so_tiny"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of the tiny recipe."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    assert main(["train", TINY, "--out", str(folder), "--train.steps", "2"]) == 0
    return folder


def untrained(folder: Path, model, evaluate, name: str) -> Path:
    """A run folder of a model on BounceTone that has learned nothing."""
    spec = ClipSpec(10, fps=10, size=16, channels=3, sample_rate=16000)
    train = TrainConfig(steps=1, batch_size=4, optim={}, device="cpu")
    recipe = recipes.Recipe(model, BounceTone(clips=(24, 8, 16)), spec, train, evaluate, name)
    folder.mkdir()
    torch.manual_seed(0)
    save_weights(model.build(spec), folder / "weights.safetensors")
    (folder / "recipe.json").write_text(json.dumps(recipes.to_json(recipe)))
    return folder


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
    """A run that generates from nothing."""
    model = joint_gan.Config(image_channels=2, audio_channels=2, joint_channels=2)
    few = {"clips": 8, "reference": 16, "bins": 3, "permutations": 19, "resamples": 5}
    judges = {"image": "judge_image_tiny"}
    protocol = JointProtocol(examples=1, judges=judges, **few)
    return untrained(tmp_path_factory.mktemp("runs") / "noise", model, protocol, "from_nothing")


@pytest.fixture(scope="module")
def judge(tmp_path_factory) -> Path:
    """A run that makes nothing."""
    model = ClassifierConfig(part="image", classes=4, widths=(2, 2, 2, 2), features=2)
    protocol = JudgeProtocol(clips=8, resamples=5)
    return untrained(tmp_path_factory.mktemp("runs") / "judge", model, protocol, "colours")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """A real file of one second, 16 px, with sound."""
    spec = ClipSpec(12, fps=10, size=16, sample_rate=4400)
    frames = torch.rand(1, 12, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    sound = torch.sin(torch.arange(spec.samples) * 0.5)[None] / 2
    return encode(Clip(spec, frames, sound), tmp_path_factory.mktemp("media") / "clip.mp4")


def refused(capsys, *arguments) -> str:
    """The one line on stderr of a call that must exit with 2."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.strip().splitlines()[-1]
    assert last.startswith("soundsight: error: ")
    assert "Traceback" not in err
    return last


# ---- What works ----------------------------------------------------------------------------------


def test_usage_names_every_verb(capsys):
    from soundsight.cli import VERBS

    assert main(["--help"]) == 0
    usage = capsys.readouterr().out
    assert all(f"\n  {verb} " in usage for verb in VERBS)
    assert main([]) == 2


def test_help_does_not_import_torch():
    code = "import sys; from soundsight.cli import main; main(['--help'])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False")


def test_recipes_lists_them_all(capsys):
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert list(listed) == recipes.names()
    assert listed[TINY]["takes"] == "audio, context"
    assert listed["judge_sound_tiny"]["takes"] == "audio"
    assert listed["judge_sound_tiny"]["makes"] == "a verdict"
    assert main(["recipes"]) == 0
    assert TINY in capsys.readouterr().out


def test_help_of_train_shows_the_recipes_fields(capsys):
    assert main(["train", TINY, "--help"]) == 0
    text = capsys.readouterr().out
    assert "--model.z-dim" in text or "--model.z_dim" in text
    assert "Width of the stochastic latent" in text


def test_help_of_a_recipe_for_folders_needs_no_folder(capsys):
    assert main(["train", "sound2sight_folder_laptop", "--help"]) == 0
    assert "--data.path" in capsys.readouterr().out


def test_training_leaves_a_run_folder(run):
    names = {path.name for path in run.iterdir()}
    assert {"recipe.json", "weights.safetensors", "state", "stats.jsonl"} <= names
    assert json.loads((run / "recipe.json").read_text())["train"]["steps"] == 2


def test_resume_takes_up_the_changed_fields(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    assert (
        main(["train", TINY, "--out", str(copy), "--resume", "--train.steps", "3", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["steps"] == 3


def test_sampling_continues_a_file(run, video, tmp_path, capsys):
    arguments = ["sample", str(run), str(video), "--out", str(tmp_path), "--samples", "2", "--json"]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    files = [Path(path) for path in result["files"][str(video)]]
    assert [f.name for f in files] == [
        "sample_000.mp4", "sample_001.mp4", "truth.mp4", "strips.png",
    ]  # fmt: skip
    info = probe(files[0])
    assert info.has_audio
    assert info.seconds == pytest.approx(0.9, abs=0.06)
    before = files[0].read_bytes()
    assert main(arguments) == 0
    assert files[0].read_bytes() == before


def test_sampling_takes_a_longer_horizon(run, video, tmp_path):
    assert main(["sample", str(run), str(video), "--out", str(tmp_path), "--frames", "12"]) == 0
    assert probe(tmp_path / "clip" / "sample_000.mp4").seconds == pytest.approx(1.2, abs=0.06)


def test_sampling_without_files_uses_the_runs_data(run, tmp_path, capsys):
    assert main(["sample", str(run), "--out", str(tmp_path), "--count", "2", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["files"]) == ["test_0000", "test_0001"]


def test_sampling_the_runs_data_takes_a_longer_horizon(run, tmp_path):
    arguments = ["--out", str(tmp_path), "--count", "1", "--frames", "12"]
    assert main(["sample", str(run), *arguments]) == 0
    seconds = probe(tmp_path / "test_0000" / "sample_000.mp4").seconds
    recipe = recipes.load(TINY)
    assert recipe.evaluate.frames != 12
    assert seconds == pytest.approx(12 / recipe.clip.fps, abs=0.06)


def test_other_data_is_scored_beside_the_runs_own(tmp_path, capsys, monkeypatch):
    """What the run learned from stays that of its recipe."""
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    spec = ClipSpec(10, fps=10, size=16, channels=3, sample_rate=16000)
    clips = BounceTone(clips=(24, 8, 16)).build(spec.with_frames(120), "train").clips([0, 1])
    for name, index in (("own", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        encode(clips, tmp_path / name / "film.mp4", index=index)
    model = joint_gan.Config(image_channels=2, audio_channels=2, joint_channels=2)
    few = {"clips": 2, "reference": 4, "bins": 2, "permutations": 9, "resamples": 5}
    folder = untrained(tmp_path / "noise", model, JointProtocol(examples=1, **few), "from_nothing")
    document = json.loads((folder / "recipe.json").read_text())
    document["data"] = {"kind": "folder", "path": str(tmp_path / "own"), "split": [0.25, 0.25]}
    (folder / "recipe.json").write_text(json.dumps(document))
    arguments = ["--data", str(tmp_path / "other"), "--split", "val", "--json"]
    assert main(["evaluate", str(folder), *arguments]) == 0
    told = json.loads(capsys.readouterr().out)["protocol"]
    assert told["data"]["path"] == str(tmp_path / "other")
    assert told["recipes"]["joint_gan"]["data"]["path"] == str(tmp_path / "own")
    shutil.rmtree(tmp_path / "own")
    line = refused(capsys, "evaluate", folder, *arguments[:4])
    assert "the clips that it learned from are needed, too" in line


def test_evaluation_writes_a_report(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--out", str(tmp_path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    rows = {row["name"] for row in scores["rows"]}
    assert {"sound2sight", "sound2sight:shuffled_audio", "copy_last", "mean_image", "blank"} <= rows
    assert scores["protocol"]["weights_sha256"]
    assert (tmp_path / "report" / "index.html").is_file()
    assert json.loads((tmp_path / "report" / "scores.json").read_text()) == scores


def test_comparison_scores_runs_together(run, tmp_path, capsys):
    other = tmp_path / "deaf"
    assert main(["train", TINY, "--out", str(other), "--train.steps", "1", "--model.no-audio"]) == 0
    capsys.readouterr()
    arguments = ["compare", str(run), str(other), "--out", str(tmp_path / "c"), "--json"]
    assert main([*arguments, "--clips", "4", "--samples", "2"]) == 0
    scores = json.loads(capsys.readouterr().out)
    names = {row["name"] for row in scores["rows"]}
    assert {"tiny", "deaf", "tiny - deaf", "tiny:shuffled_audio"} <= names
    assert "deaf:shuffled_audio" not in names


def sampled(capsys, *arguments) -> tuple[list[str], dict]:
    """Names of the files of a sampling, and its JSON."""
    capsys.readouterr()
    assert main(["sample", *map(str, arguments), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    (files,) = result["files"].values()
    return [Path(file).name for file in files], result


def test_sampling_from_nothing(noise, tmp_path, capsys):
    names, result = sampled(capsys, noise, "--out", tmp_path)
    assert names == [*(f"sample_00{i}.mp4" for i in range(8)), "strips.png"]
    assert result["samples"] == 8
    assert probe(tmp_path / names[0]).has_audio
    before = (tmp_path / "sample_001.mp4").read_bytes()
    arguments = ("--samples", 2, "--wav", "--frames", 20)
    names, _ = sampled(capsys, noise, "--out", tmp_path, *arguments)
    assert names[:2] == ["sample_000.mp4", "sample_000.wav"]
    assert len(names) == 5
    assert probe(tmp_path / names[0]).seconds == pytest.approx(2.0, abs=0.06)
    sampled(capsys, noise, "--out", tmp_path, "--samples", 2)
    assert (tmp_path / "sample_001.mp4").read_bytes() == before


def test_walks_and_variations(noise, tmp_path, capsys):
    names, result = sampled(capsys, noise, "--out", tmp_path, "--walk", "content", "--steps", 3)
    assert names == ["walk_000.mp4", "walk_001.mp4", "walk_002.mp4", "walk.png"]
    assert result["samples"] == 3
    names, _ = sampled(capsys, noise, "--out", tmp_path, "--vary", "motion", "--samples", 2)
    assert names == ["vary_000.mp4", "vary_001.mp4", "vary.png"]


def test_generation_from_nothing_is_evaluated_with_judges(noise, tmp_path, capsys):
    common = ["--judges", str(tmp_path / "judges"), "--clips", "6", "--json"]
    assert main(["evaluate", str(noise), "--out", str(tmp_path), *common]) == 0
    out, err = capsys.readouterr()
    scores = json.loads(out)
    assert {"joint_gan", "real"} <= {row["name"] for row in scores["rows"]}
    assert scores["protocol"]["kind"] == "joint"
    assert scores["protocol"]["clips"] == 6
    assert (tmp_path / "report" / "index.html").is_file()
    (place,) = (tmp_path / "judges").iterdir()
    assert f"training a judge of image in {place}" in err
    # The next evaluation finds the judge. Runs of two seeds are summed up under their recipe.
    twin = tmp_path / "twin"
    shutil.copytree(noise, twin)
    text = (twin / "recipe.json").read_text()
    document = json.loads(text)
    document["train"]["seed"] = 1
    (twin / "recipe.json").write_text(json.dumps(document))
    assert main(["compare", str(noise), str(twin), "--out", str(tmp_path / "c"), *common]) == 0
    out, err = capsys.readouterr()
    assert "training a judge" not in err
    assert {"noise", "twin", "from_nothing"} <= {row["name"] for row in json.loads(out)["rows"]}


def test_judges_are_evaluated(judge, tmp_path, capsys):
    assert main(["evaluate", str(judge), "--out", str(tmp_path), "--clips", "4", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in scores["rows"]} >= {"classifier", "classifier:chance"}
    assert scores["protocol"]["clips"] == 4
    assert (tmp_path / "report" / "index.html").is_file()


@pytest.mark.slow
def test_demo_runs_quickly_and_twice(tmp_path, capsys):
    for _ in range(2):  # The second time there is nothing left to train.
        assert main(["demo", "--quick", "--out", str(tmp_path), "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
    assert Path(result["report"]).is_file()
    assert len(result["claims"]) == 6
    assert len(list((tmp_path / "samples").glob("*/sample_*.mp4"))) == 12


# ---- What is refused -----------------------------------------------------------------------------


def test_unknown_verb(capsys):
    assert "did you mean 'train'" in refused(capsys, "trian")


def test_unknown_recipe(capsys, tmp_path):
    line = refused(capsys, "train", "sound2sight_m3so_tyny", "--out", tmp_path / "x")
    assert f"did you mean '{TINY}'" in line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("--train.stepz", "3", "--train.steps"),
        ("--train.steps", "many", "'many'"),
        ("--train.steps", "-4", "greater than 0"),
        ("--model.fidelity", "true", "'paper', 'fixed'"),
        ("--clip.fps", "7", "4396 Hz and 4403 Hz"),
        ("--clip.size", "18", "size=18"),
        ("--train.ema", "2", "between 0 and 1"),
        ("--train.device", "tpu", "tpu"),
        ("--model.hop-length", "0", "greater than 0"),
        ("--model.dropout", "2", "less than 1"),
        ("--model.seen", "5", "evaluate.seen=3"),
    ],
)
def test_bad_fields(capsys, tmp_path, field, value, message):
    line = refused(capsys, "train", TINY, "--out", tmp_path / "x", field, value)
    assert message in line


def test_missing_arguments(capsys):
    assert "train needs a recipe" in refused(capsys, "train")
    assert "--out" in refused(capsys, "train", TINY)
    assert "run folder" in refused(capsys, "sample").lower()


def test_data_for_a_recipe_that_makes_its_own(capsys, tmp_path):
    line = refused(capsys, "train", TINY, "--data", tmp_path, "--out", tmp_path / "x")
    assert "makes its own data" in line


@pytest.mark.parametrize("kind", ["missing", "empty", "texts", "unsaid"])
def test_bad_video_folders(capsys, tmp_path, kind, monkeypatch):
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "videos"
    if kind != "missing":
        folder.mkdir()
    if kind == "texts":
        (folder / "a.mp4").write_text("not a video")
    data = [] if kind == "unsaid" else ["--data", folder]
    line = refused(capsys, "train", "sound2sight_folder_laptop", *data, "--out", tmp_path / "x")
    assert ("--data" if kind == "unsaid" else str(folder)) in line
    assert not (tmp_path / "x" / "weights.safetensors").exists()


def test_training_into_a_trained_folder(capsys, run):
    before = (run / "weights.safetensors").read_bytes()
    assert "--resume" in refused(capsys, "train", TINY, "--out", run)
    assert (run / "weights.safetensors").read_bytes() == before


def test_resuming_under_another_name(capsys, run):
    for out in (["--out", run], [f"--out={run}"]):
        line = refused(capsys, "train", "sound2sight_m3so_laptop", *out, "--resume")
        assert f"was trained by {TINY}, not by sound2sight_m3so_laptop" in line


def test_training_into_a_folder_with_weights_alone(capsys, run, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    for name in ("recipe.json", "weights.safetensors"):
        shutil.copy(run / name, kept)
    before = (kept / "weights.safetensors").read_bytes()
    assert "no state to go on from" in refused(capsys, "train", TINY, "--out", kept)
    assert "no state to go on from" in refused(capsys, "train", TINY, "--out", kept, "--resume")
    assert (kept / "weights.safetensors").read_bytes() == before


def test_resuming_another_recipe(capsys, run):
    line = refused(capsys, "train", TINY, "--out", run, "--resume", "--model.z-dim", "5")
    assert "model.z_dim" in line


def test_unwritable_output(capsys, tmp_path, run, video):
    (tmp_path / "file").write_text("")
    line = refused(capsys, "train", TINY, "--out", tmp_path / "file" / "run")
    assert str(tmp_path / "file") in line
    line = refused(capsys, "sample", run, video, "--out", tmp_path / "file")
    assert str(tmp_path / "file") in line


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "cut", "no_sound", "no_picture", "short"]
)
def test_bad_videos(capsys, tmp_path, run, video, kind):
    path = tmp_path / "bad.mp4"
    spec = ClipSpec(12, fps=10, size=16, sample_rate=4400)
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("Dear Sir or Madam")
    elif kind == "cut":
        path.write_bytes(video.read_bytes()[:900])
    elif kind == "no_sound":
        encode(Clip(spec, torch.rand(1, 12, 1, 16, 16)), path)
    elif kind == "no_picture":
        path = tmp_path / "bad.wav"
        encode(Clip(spec, audio=torch.zeros(1, spec.samples)), path)
    elif kind == "short":
        short = spec.with_frames(2)
        encode(Clip(short, torch.rand(1, 2, 1, 16, 16), torch.zeros(1, short.samples)), path)
    line = refused(capsys, "sample", run, video, path, "--out", tmp_path / "out")
    assert str(path) in line
    assert (tmp_path / "out" / "clip" / "sample_000.mp4").is_file()  # What came before is kept.


@pytest.mark.parametrize(
    ("flag", "value"), [("--samples", 0), ("--samples", 10**6), ("--seed", -1), ("--seed", 2**40)]
)
def test_samples_and_seed_out_of_range(capsys, run, tmp_path, flag, value):
    line = refused(capsys, "sample", run, "--out", tmp_path, flag, value)
    assert str(value) in line
    assert "between" in line


def test_counts_and_starts_out_of_range(capsys, run, video, tmp_path):
    assert "count=0" in refused(capsys, "sample", run, "--out", tmp_path, "--count", "0")
    assert "start=" in refused(capsys, "sample", run, video, "--out", tmp_path, "--start", "inf")
    assert "start=" in refused(capsys, "sample", run, video, "--out", tmp_path, "--start", "-1")


def test_clips_of_the_same_name(capsys, run, video, tmp_path):
    (tmp_path / "other").mkdir()
    twin = Path(shutil.copy(video, tmp_path / "other"))
    line = refused(capsys, "sample", run, video, twin, "--out", tmp_path / "out")
    assert "several clips are named clip" in line


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("noise", ["clip.mp4"], "takes nothing: it generates from noise"),
        ("noise", ["--start", "1"], "--start 1.0: is for models that continue clips"),
        ("noise", ["--count", "2"], "--count 2: is for models that continue clips"),
        ("noise", ["--frames", "0"], "frames=0 must be between 1 and 10000"),
        ("noise", ["--walk", "content", "--vary", "motion"], "ask for one at a time"),
        ("noise", ["--walk", "content", "--samples", "2"], "a walk has --steps instead"),
        ("noise", ["--walk", "content", "--steps", "1"], "steps=1 must be between 2 and 100"),
        ("noise", ["--steps", "3"], "is the length of a --walk"),
        ("noise", ["--walk", "colour"], "content"),
        ("run", ["--walk", "content"], "--walk content: is for models that generate from nothing"),
        ("run", ["--wav"], "--wav True: is for models that generate from nothing"),
        ("run", ["--start", "1"], "--start 1.0: is for videos, and none are named"),
        ("run", ["clip.mp4", "--count", "2"], "--count 2: is for clips of the run's own data"),
        ("run", ["--frames", "0"], "frames=0 must exceed the 3 seen frames"),
        ("run", ["--frames", "10001"], "frames=10001 must exceed the 3 seen frames, up to 10000"),
        ("judge", [], "is a judge: it makes no clips"),
        ("judge", ["clip.mp4"], "see how well with soundsight evaluate"),
    ],
)
def test_requests_of_another_kind_of_run(capsys, tmp_path, request, kind, arguments, message):
    folder = request.getfixturevalue(kind)
    line = refused(capsys, "sample", folder, *arguments, "--out", tmp_path)
    assert message in line
    assert not list(tmp_path.rglob("*.mp4"))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("run", ["--judges", "j"], "--judges: a forecast experiment is scored without it"),
        ("run", ["--extractor", "i3d=a.pt"], "it has --samples, --clips, --seed, --split"),
        ("judge", ["--samples", "2"], "--samples: a judge experiment is scored without it"),
        ("noise", ["--samples", "2"], "it has --clips, --seed, --split, --judges, --extractor"),
        ("noise", ["--extractor", "i3d=absent.pt"], "absent.pt"),
        ("noise", ["--extractor", "eyes=a.pt"], "eyes"),
        ("noise", ["--clips", "1"], "clips=1 must be at least"),
    ],
)
def test_scores_of_another_kind_of_run(capsys, tmp_path, request, kind, arguments, message):
    folder = request.getfixturevalue(kind)
    assert message in refused(capsys, "evaluate", folder, *arguments, "--out", tmp_path)


def test_runs_of_two_kinds_cannot_be_compared(capsys, tmp_path, noise, judge):
    line = refused(capsys, "compare", noise, judge, "--out", tmp_path)
    assert "only runs of one kind can be compared" in line


def test_fewer_futures_leave_no_old_ones(run, video, tmp_path):
    for samples in ("3", "1"):
        arguments = ["sample", str(run), str(video), "--out", str(tmp_path), "--samples", samples]
        assert main(arguments) == 0
    assert len(list((tmp_path / "clip").glob("sample_*"))) == 1


def test_frames_out_of_range(capsys, run, video, tmp_path):
    assert "seen" in refused(capsys, "sample", run, video, "--out", tmp_path, "--frames", "3")
    line = refused(capsys, "sample", run, video, "--out", tmp_path, "--frames", "40")
    assert str(video) in line


def test_folders_that_are_no_runs(capsys, tmp_path, run):
    assert "recipe.json" in refused(capsys, "sample", tmp_path)
    shutil.copy(run / "recipe.json", tmp_path)
    assert "weights.safetensors" in refused(capsys, "evaluate", tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    (tmp_path / "weights.safetensors").touch()
    assert "not JSON" in refused(capsys, "evaluate", tmp_path)
    (tmp_path / "recipe.json").write_text("[]")
    assert str(tmp_path / "recipe.json") in refused(capsys, "evaluate", tmp_path)


@pytest.mark.parametrize("kind", ["other", "missing", "torn"])
def test_weights_that_do_not_fit(capsys, tmp_path, run, kind):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    path = copy / "weights.safetensors"
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:100])
    else:
        tensors = load_file(path)
        name = sorted(tensors)[0]
        moved = tensors.pop(name)
        if kind == "other":
            tensors[name] = torch.zeros(3, *moved.shape)
        save_file(tensors, path)
    assert str(path) in refused(capsys, "sample", copy, "--out", tmp_path / "out")


def test_runs_on_other_data_cannot_be_compared(capsys, run, tmp_path):
    other = tmp_path / "other"
    arguments = ["--train.steps", "1", "--data.seed", "9"]
    assert main(["train", TINY, "--out", str(other), *arguments]) == 0
    assert "differ in data.seed" in refused(capsys, "compare", run, other)


def test_runs_of_the_same_name_cannot_be_compared(capsys, run):
    assert "different" in refused(capsys, "compare", run, run)


# ---- Interruption --------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_interrupted_training_says_how_to_go_on(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "soundsight", "train", TINY, "--out", str(out)]
    process = subprocess.Popen(
        [*command, "--train.steps", "100000"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.time() + 60
    while not list(out.glob("state/step_*")) and time.time() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted; the state is saved in" in err
    assert "Traceback" not in err

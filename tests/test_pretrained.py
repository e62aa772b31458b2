"""Models that come with the package: what is published is what is there, and it can be used."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch

from soundsight import pretrained, sampling
from soundsight.cli import main
from soundsight.contract import Streams

SCRIPT = Path(__file__).parents[1] / "scripts" / "make_pretrained.py"


def make(run: Path, name: str) -> Path:
    """What the script makes of a run."""
    spec = importlib.util.spec_from_file_location("make_pretrained", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(run, name)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run with a discriminator."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    steps = ("--train.steps", "2")
    assert main(["train", "sound2sight_m3so_tiny", "--out", str(folder), *steps]) == 0
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A package without pretrained models."""
    monkeypatch.setattr(pretrained, "HOME", tmp_path / "home")
    return tmp_path / "home"


@pytest.mark.parametrize("name", pretrained.names())
def test_what_is_published_is_whole_small_and_has_a_card(name):
    folder = pretrained.folder(name)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 16e6
    card = (folder / "card.md").read_text(encoding="utf-8")
    for word in ("Data", "Licence", "Scores", "Limits", (folder / "sha256").read_text().strip()):
        assert word in card, word
    assert sampling.load_run(folder, device="cpu").recipe.name


def test_half_precision_draws_what_the_run_draws(run, home):
    made, trained = make(run, "little"), sampling.load_run(run, device="cpu")
    small = sampling.load_run(made, device="cpu")
    assert small.model.discriminator is None
    recipe = trained.recipe
    spec = recipe.clip.with_frames(recipe.evaluate.frames)
    given = recipe.data.build(spec, "test").clips([0, 1]).context(recipe.evaluate.seen)
    drawn = [
        one.model.sample(given, num_samples=2, generator=Streams(0, [0, 1])).video
        for one in (trained, small)
    ]
    assert torch.allclose(*drawn, atol=2e-3)
    assert (made / "weights.safetensors").stat().st_size < 0.55 * sum(
        tensor.numel() * 4 for tensor in small.model.state_dict().values()
    )


def test_a_pretrained_model_is_sampled_and_scored_by_name(run, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(run, "little")
    assert main(["sample", "--pretrained", "little", "--out", "s", "--count", "1"]) == 0
    assert list(Path("s").rglob("*.mp4"))
    few = ["--clips", "3", "--samples", "2"]
    assert main(["evaluate", "--pretrained", "little", *few]) == 0
    found = json.loads(Path("little/report/scores.json").read_text())
    assert found["protocol"]["clips"] == 3


def test_a_file_after_a_pretrained_model_is_what_it_continues(run, home, tmp_path):
    make(run, "little")
    out = tmp_path / "from_data"
    assert main(["sample", str(run), "--out", str(out), "--count", "1"]) == 0
    (clip,) = list(out.rglob("future_*.mp4"))[:1] or list(out.rglob("*.mp4"))[:1]
    asked = ["sample", "--pretrained", "little", str(clip), "--out", str(tmp_path / "own")]
    assert main(asked) == 0
    assert list((tmp_path / "own").rglob("*.mp4"))


def test_bad_requests_are_refused(run, home, capsys, tmp_path):
    assert main(["sample", "--pretrained", "little"]) == 2
    assert "no pretrained model 'little'. There are: none" in capsys.readouterr().err
    made = make(run, "little")
    assert main(["sample", "--pretrained", "other"]) == 2
    assert "There are: little" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--pretrained", "little"]) == 2
    assert "name one of the two" in capsys.readouterr().err
    weights = made / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert main(["sample", "--pretrained", "little", "--out", str(tmp_path / "o")]) == 2
    assert "is not what was published" in capsys.readouterr().err
    shutil.rmtree(made)
    assert main(["sample"]) == 2
    assert "needs a run folder, or --pretrained NAME" in capsys.readouterr().err

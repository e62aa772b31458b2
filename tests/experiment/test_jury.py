"""Judges are found in a folder, or trained into it once; classes are counted from the data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.experiment import jury
from soundsight.experiment.jury import assemble, count_classes, fitted, folder_name
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.judges import ClassifierConfig, CorrespondenceConfig
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.checkpoint import differing_fields
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=8000)
HEARING = Hearing(n_fft=256, hop_length=64, n_mels=16, channels=2)
TRAIN = TrainConfig(steps=2, batch_size=4, optim={"judge": OptimConfig(lr=1e-3)}, device="cpu")
OTHER = ClipSpec(frames=8, fps=8, size=32, channels=1, sample_rate=16000)


def judge(name: str, **options) -> Recipe:
    """A tiny judge for other data than that of the judged run."""
    if name == "pairs":
        model = CorrespondenceConfig(hearing=HEARING, widths=(2, 2, 2, 2), features=4)
    else:
        model = ClassifierConfig(hearing=HEARING, features=4, classes=2, **options)
    data = BounceTone(clips=(8, 2, 2))
    return Recipe(model, data, OTHER, TRAIN, JudgeProtocol(), name)


@pytest.fixture
def judged(monkeypatch) -> Run:
    """A run of a model on BounceTone, and judges of two names."""
    monkeypatch.setattr(recipes, "load", lambda name: judge(name))
    recipe = dataclasses.replace(
        recipes.load("heard"), data=BounceTone(clips=(20, 4, 4)), clip=SPEC, name="model"
    )
    return Run(Path("runs/model"), recipe, torch.nn.Identity(), torch.device("cpu"))


class Clips:
    """Black clips with these labels, in their order; how many were read is remembered."""

    spec = ClipSpec(frames=1, size=2, sample_rate=100)

    def __init__(self, labels) -> None:
        self.kinds, self.read = labels, 0

    def __len__(self) -> int:
        return 9 if self.kinds is None else len(self.kinds)

    def clips(self, indices) -> Clip:
        self.read += len(indices)
        label = None if self.kinds is None else torch.from_numpy(self.kinds[list(indices)])
        return Clip(self.spec, torch.zeros(len(indices), 1, 1, 2, 2), label=label)


def test_classes_are_counted():
    kinds = np.arange(6000) // 1000
    listed = Clips(None)
    listed.labels = kinds
    assert count_classes(listed) == 6
    data = Clips(kinds)
    assert count_classes(data) == 6  # Sorted by class: the last ones are read too.
    assert data.read == 2000
    for labels in (None, np.array([-1, -1])):
        with pytest.raises(jury.NoLabels, match="the data has no labels"):
            count_classes(Clips(labels))
    with pytest.raises(jury.NoLabels, match="some clips of the data have no label"):
        count_classes(Clips(np.array([0, -1, 3])))


def test_a_judge_learns_the_runs_data_at_its_rates(judged):
    data = judged.recipe.data.build(SPEC, "train")
    made = fitted(judge("heard"), judged.recipe, data)
    assert (made.data, made.clip, made.model.classes) == (judged.recipe.data, SPEC, 4)
    assert made.train == TRAIN
    pitch = fitted(judge("heard", target="pitch"), judged.recipe, Clips(None))
    assert pitch.model.classes == 2  # Not counted: its classes are pitches.


def test_a_folders_name_stands_for_every_value(judged):
    one = judge("heard")
    name, _, digits = folder_name(one).rpartition("-")
    assert name == "heard"
    assert len(digits) == 8
    assert folder_name(judge("heard")) == folder_name(one)
    for other in (
        dataclasses.replace(one, data=BounceTone(seed=2)),
        dataclasses.replace(one, clip=SPEC),
        dataclasses.replace(one, train=dataclasses.replace(TRAIN, steps=3)),
    ):
        assert folder_name(other) != folder_name(one)


def test_missing_judges_are_trained_once(judged, tmp_path, capsys):
    roles = {"sound": "heard", "correspondence": "pairs"}
    found = assemble(roles, judged, tmp_path)
    assert list(found) == ["sound", "correspondence"]
    told = capsys.readouterr().err
    assert "training a judge of sound" in told
    assert "training a judge of correspondence" in told
    assert {p.name for p in tmp_path.iterdir()} == {run.path.name for run in found.values()}
    sound = found["sound"]
    assert sound.model.classes == 4
    assert not sound.model.training
    stored = recipes.to_json(recipes.read(sound.path / "recipe.json"))
    assert differing_fields(stored, recipes.to_json(sound.recipe)) == []

    before = {path: path.read_bytes() for path in tmp_path.glob("*/weights.safetensors")}
    again = assemble(roles, judged, tmp_path)
    assert "training a judge" not in capsys.readouterr().err
    assert {run.path for run in again.values()} == {run.path for run in found.values()}
    assert {p: p.read_bytes() for p in tmp_path.glob("*/weights.safetensors")} == before


def test_an_interrupted_training_goes_on(judged, tmp_path, monkeypatch):
    """Weights that were saved on the way are not taken for a finished judge."""
    whole = assemble({"sound": "heard"}, judged, tmp_path / "whole")["sound"]
    short = dataclasses.replace(whole.recipe, train=dataclasses.replace(TRAIN, steps=1))
    place = tmp_path / "parts" / folder_name(whole.recipe)
    jury.run_training(short, place, progress=False)
    part = (place / "weights.safetensors").read_bytes()
    done = assemble({"sound": "heard"}, judged, tmp_path / "parts")["sound"]
    assert done.path == place
    weights = (place / "weights.safetensors").read_bytes()
    assert weights == (whole.path / "weights.safetensors").read_bytes() != part


def test_judges_without_their_states_are_used(judged, tmp_path):
    found = assemble({"sound": "heard"}, judged, tmp_path)["sound"]
    for path in sorted((found.path / "state").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert assemble({"sound": "heard"}, judged, tmp_path)["sound"].path == found.path


def test_a_judge_of_labels_is_left_out_where_there_are_none(judged, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jury, "count_classes", lambda data: count_classes(Clips(None)))
    found = assemble({"sound": "heard", "correspondence": "pairs"}, judged, tmp_path)
    assert list(found) == ["correspondence"]
    told = capsys.readouterr().err
    assert "no judge of sound (heard): the data has no labels; the scores that need it" in told


def test_no_roles_need_no_data(judged, tmp_path):
    assert assemble({}, judged, tmp_path / "judges") == {}
    assert not (tmp_path / "judges").exists()

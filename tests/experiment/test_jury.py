"""Judges are found in a folder, or trained into it once; classes are counted from the data."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.data.folder import VideoFolder
from soundsight.data.prepared import Prepared, PreparedDataset
from soundsight.data.record import ClipRecord, Span
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.experiment import jury
from soundsight.experiment.jury import assemble, count_classes, fitted, folder_name
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.encode import encode
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
    one, data = judge("heard"), Clips(np.arange(8))
    name, _, digits = folder_name(one, data).rpartition("-")
    assert name == "heard"
    assert len(digits) == 8
    assert folder_name(judge("heard"), data) == folder_name(one, data)
    for other in (
        dataclasses.replace(one, data=BounceTone(seed=2)),
        dataclasses.replace(one, clip=SPEC),
        dataclasses.replace(one, train=dataclasses.replace(TRAIN, steps=3)),
    ):
        assert folder_name(other, data) != folder_name(one, data)
    assert folder_name(one, Clips(np.arange(9))) != folder_name(one, data)


def test_roles_without_anybody_to_judge_are_refused(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(jury, "assemble", lambda *_: {})
    roles = {"sound": "any"}
    with pytest.raises(ValueError, match=r"judges of sound cannot learn .* need none \(pitch\)"):
        jury.seat(roles, judged, tmp_path, others=False, unlabeled="pitch")
    assert jury.seat(roles, judged, tmp_path, others=True, unlabeled="pitch") == {}
    assert jury.seat({}, judged, tmp_path, others=False, unlabeled="pitch") == {}


def test_a_changed_folder_of_videos_gets_other_judges(judged, tmp_path, monkeypatch):
    monkeypatch.setenv("SOUNDSIGHT_CACHE", str(tmp_path / "cache"))
    videos = tmp_path / "videos"
    videos.mkdir()
    clips = BounceTone(clips=(20, 4, 4)).build(SPEC, "train").clips(range(6))
    for index in range(5):
        encode(clips, videos / f"{index}.mp4", index=index)
    data = VideoFolder(str(videos), progress=False)
    judged = dataclasses.replace(judged, recipe=dataclasses.replace(judged.recipe, data=data))

    def place() -> Path:
        return assemble({"correspondence": "pairs"}, judged, tmp_path / "judges")[
            "correspondence"
        ].path

    first = place()
    assert place() == first
    learned = data.build(SPEC, "train").sources[0]
    encode(clips, videos / learned, index=5)  # The same name, number of clips and length.
    assert len({first, place()}) == 2
    assert len(list((tmp_path / "judges").iterdir())) == 2


@pytest.mark.parametrize(
    ("change", "same"),
    [({}, True), ({"sha256": "0" * 64}, False), ({"key": "b"}, False), ({"label": "y"}, False)],
)
def test_changed_prepared_data_gets_other_judges(change, same):
    """Whatever the folder is called: its records tell."""
    record = ClipRecord(
        "a", "s", "s", 0.0, "x", 0.0, "train-0.tar", Span(0, 1), Span(1, 1), "f" * 64, {}
    )

    class Opened(Prepared):
        spec, labels, splits = SPEC, ("x", "y"), {}

        def __init__(self, *records: ClipRecord) -> None:
            self.splits = {"train": list(records)}

    def named(*records: ClipRecord) -> str:
        return folder_name(judge("heard"), PreparedDataset(Opened(*records), SPEC, "train"))

    assert (named(record) == named(record._replace(**change))) is same


def test_judges_learn_where_the_run_is_evaluated(judged, tmp_path, monkeypatch):
    """Not where their recipe would learn; and that changes nothing in their names."""
    monkeypatch.setattr(recipes, "load", lambda name: replaced_device(judge(name), "cuda"))
    used = []
    train = jury.run_training

    def watched(recipe, *arguments, **options):
        used.append(recipe.train.device)
        return train(recipe, *arguments, **options)

    monkeypatch.setattr(jury, "run_training", watched)
    found = assemble({"sound": "heard"}, judged, tmp_path)["sound"]
    assert used == ["cpu"]
    assert found.device == torch.device("cpu")
    data = judged.recipe.data.build(SPEC, "train")
    asked = fitted(recipes.load("heard"), judged.recipe, data)
    assert asked.train.device == "cuda"
    assert found.path.name == folder_name(asked, data)


def replaced_device(recipe: Recipe, device: str) -> Recipe:
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, device=device))


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
    place = tmp_path / "parts" / whole.path.name
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

"""Cross-modal experiments: watched by judges that they ask for, scored, compared and shown."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
import torch
from torch import nn

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.data.prepared import PreparedDataset
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.experiment import crossmodal, run_evaluation, write_evaluation
from soundsight.experiment import runs as runs_of
from soundsight.experiment.kinds import Kind, kind_of
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.judges import ClassifierConfig
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

SPEC = ClipSpec(frames=1, fps=2, size=16, channels=3, sample_rate=6000)
HEARING = Hearing(n_fft=256, hop_length=64, n_mels=16, channels=2)
ROLES = {"image": "seen"}


@dataclasses.dataclass(frozen=True)
class Config:
    """A model without anything to learn."""

    kind: Literal["painter"] = "painter"

    def build(self, spec: ClipSpec) -> "Painter":
        return Painter(spec)


class Painter(nn.Module):
    """Paints everything in one colour, and remembers of which clips."""

    takes, makes = frozenset({"audio"}), frozenset({"image"})

    def __init__(self, spec: ClipSpec) -> None:
        super().__init__()
        self.spec, self.asked, self.color = spec, [], nn.Parameter(torch.tensor([0.9, 0.1, 0.1]))

    def phases(self):
        return {"all": self}

    def losses(self, clip, *, step, generator):
        return iter(())

    def sample(self, given: Clip, *, num_samples, generator) -> Clip:
        self.asked.append((len(given), list(generator.ids), given.audio))
        painted = self.color.detach()[None, None, :, None, None]
        return Clip(given.spec, painted.expand(len(given) * num_samples, 1, 3, 16, 16).clone())


PROTOCOL = CrossmodalProtocol(
    clips=8, num_samples=2, judges=ROLES, resamples=20, permutations=9, examples=1, reference=8
)
RECIPE = Recipe(
    Config(),
    BounceTone(clips=(16, 12, 8)),
    SPEC,
    TrainConfig(steps=10, batch_size=4, optim={}, device="cpu"),
    PROTOCOL,
    "painter",
)


def run(name: str, recipe: Recipe = RECIPE, **train) -> Run:
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **train))
    return Run(Path("runs") / name, recipe, Painter(SPEC).eval(), torch.device("cpu"))


@pytest.fixture
def jury(monkeypatch):
    """Judges of pictures are tiny, learn little, and are counted."""
    model = ClassifierConfig(part="image", widths=(2, 2, 2, 2), features=4, classes=2)
    optim = {"judge": OptimConfig(lr=1e-3)}
    train = TrainConfig(steps=1, batch_size=4, optim=optim, device="cpu")
    judge = Recipe(model, BounceTone(), SPEC, train, JudgeProtocol(), "seen")
    monkeypatch.setattr(recipes, "load", lambda name: judge)
    monkeypatch.setattr(runs_of, "weights_hash", lambda run: "0")


def test_the_module_is_a_kind_of_experiment():
    assert isinstance(crossmodal, Kind)
    assert kind_of(RECIPE) is crossmodal


def test_the_protocol_is_part_of_a_recipe_as_json():
    document = recipes.to_json(dataclasses.replace(recipes.load("judge_image_tiny"),
                                                   evaluate=PROTOCOL))  # fmt: skip
    assert recipes.from_json(json.loads(json.dumps(document))).evaluate == PROTOCOL


def asks(count: int, **others) -> Recipe:
    return dataclasses.replace(
        RECIPE, evaluate=dataclasses.replace(PROTOCOL, validation_clips=count, **others)
    )


def test_there_is_no_validation_unless_it_is_asked_for(tmp_path):
    assert crossmodal.validator(RECIPE, judges=tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_validation_scores_the_validation_split_by_judges_that_are_trained_once(
    jury, tmp_path, capsys
):
    before = torch.get_rng_state()
    hook = crossmodal.validator(asks(200), judges=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert "training a judge of image" in capsys.readouterr().err
    model = Painter(SPEC)
    (score,) = {hook(model, step)["image_accuracy"] for step in (0, 7)}
    (count, ids, heard), again = model.asked
    assert count == 12
    assert again[1] == ids == list(range(12))
    val = RECIPE.data.build(SPEC, "val").clips(range(12))
    assert torch.equal(heard, val.audio)
    # The judge answers one class for all pictures, as they are all the same.
    assert score in {(val.label == k).double().mean().item() for k in range(4)}
    crossmodal.validator(asks(4), judges=tmp_path)
    assert "training a judge" not in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 1


def test_validation_without_judges_of_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"validation_clips=4 needs judges .* names none"):
        crossmodal.validator(asks(4, judges={}), judges=tmp_path)
    few = dataclasses.replace(asks(4), data=BounceTone(clips=(8, 1, 8)))
    with pytest.raises(ValueError, match="the val split has 1 clip"):
        crossmodal.validator(few, judges=tmp_path)


def test_runs_are_scored_compared_and_shown_with_their_groups(jury, tmp_path, capsys):
    runs = {"p0": run("p0", seed=0), "p1": run("p1", seed=1)}
    scores = run_evaluation(runs, judges=tmp_path / "judges")
    assert "There is no judge of sound" in capsys.readouterr().err
    assert scores.models == ["p0", "p1"]
    assert {"real", "majority", "p0 shuffled"} <= {row.name for row in scores.rows}
    assert scores.judges[0].recipe == "seen"
    page = write_evaluation(scores, runs, tmp_path / "report", title="Painters")
    found = json.loads((page.parent / "scores.json").read_text())
    assert found["protocol"]["groups"] == {"painter": ["p0", "p1"]}
    assert found["protocol"]["weights"] == {"p0": "0", "p1": "0"}
    assert ("painter", "seeds") in {(row["name"], row["rule"]) for row in found["rows"]}


def test_other_data_gives_the_scored_pairs_alone(jury, tmp_path):
    other = BounceTone(clips=(5, 5, 6), seed=5)
    one = run("p")
    scores = run_evaluation({"p": one}, judges=tmp_path, data=other)
    assert scores.compared["clips"] == 6
    assert scores.compared["training_clips_in_all"] == 16
    expected = other.build(SPEC, "test").clips(range(6)).audio
    assert torch.equal(one.model.asked[0][2], expected)


def test_runs_that_cannot_stand_in_one_table_are_refused(tmp_path):
    other = dataclasses.replace(RECIPE, data=BounceTone(seed=5))
    with pytest.raises(ValueError, match=r"differ in data.clips, data.seed: scores compare only"):
        run_evaluation({"a": run("a"), "b": run("b", other)}, judges=tmp_path)


class Listed(PreparedDataset):
    """A prepared split of which only the index is there."""

    def __init__(self, labels: list[str], keys: str) -> None:
        self.prepared, self.spec, self.per_record = SimpleNamespace(labels=labels), SPEC, 1
        self.__dict__["records"] = [
            SimpleNamespace(key=key, sha256=64 * key, label=labels[0] if labels else None)
            for key in keys
        ]


FOLDERS = {
    "here": (["dog", "cat"], "abc"), "copy": (["dog", "cat"], "abc"),
    "more": (["dog", "cat"], "abcd"), "turned": (["cat", "dog"], "abc"), "none": ([], "abc"),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Folder:
    """Prepared data of one split for all."""

    path: str
    kind: Literal["prepared"] = "prepared"

    def build(self, spec: ClipSpec, split: str) -> Listed:
        return Listed(*FOLDERS[self.path])


def in_folder(path: str) -> Recipe:
    return dataclasses.replace(RECIPE, data=Folder(path))


class Reached(Exception):  # noqa: N818 - reads as what it is.
    """Nothing was refused."""


@pytest.fixture
def unjudged(monkeypatch):
    """What comes after the checks is told and not done."""

    def seat(*_, **__):
        raise Reached

    monkeypatch.setattr(crossmodal, "seat", seat)


@pytest.mark.parametrize("other", ["more", "turned"])
def test_runs_that_learned_the_clips_of_other_folders_are_refused(unjudged, tmp_path, other):
    runs = {"a": run("a", in_folder("here")), "b": run("b", in_folder(other))}
    message = rf"runs/a and runs/b learned other clips: here and {other} do not hold"
    with pytest.raises(ValueError, match=message):
        run_evaluation(runs, judges=tmp_path)
    runs["b"] = run("b", in_folder("copy"))
    with pytest.raises(Reached):
        run_evaluation(runs, judges=tmp_path)


def test_other_data_with_classes_of_other_names_is_refused(unjudged, tmp_path):
    """Number 0 would be a dog to the model and a cat to the scores."""
    runs = {"a": run("a", in_folder("here"))}
    with pytest.raises(ValueError, match=r"the classes cat, dog, .* learned from dog, cat: they"):
        run_evaluation(runs, judges=tmp_path, data=Folder("turned"))
    for same in ("more", "none"):
        with pytest.raises(Reached):
            run_evaluation(runs, judges=tmp_path, data=Folder(same))


def test_other_models_are_refused_before_judges_are_trained(tmp_path):
    wrong = run("w")
    wrong.model.takes = frozenset()
    with pytest.raises(ValueError, match="w takes nothing and makes"):
        run_evaluation({"w": wrong}, judges=tmp_path)
    assert not list(tmp_path.iterdir())

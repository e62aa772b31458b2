"""Generation from nothing: which runs belong together."""

import dataclasses
from pathlib import Path

import pytest
import torch

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.data.folder import VideoFolder
from soundsight.evaluation import joint as joint_scoring
from soundsight.evaluation.joint_scores import JointProtocol, JointScores
from soundsight.experiment import joint, run_evaluation
from soundsight.experiment import runs as runs_of
from soundsight.experiment.groups import groups
from soundsight.media.clip import ClipSpec
from soundsight.models import joint_gan
from soundsight.recipes import Recipe
from soundsight.sampling import Run
from soundsight.training.trainer import TrainConfig

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=16000)
RECIPE = Recipe(
    joint_gan.Config(),
    BounceTone(clips=(20, 8, 8)),
    SPEC,
    TrainConfig(steps=10, batch_size=4, optim={}),
    JointProtocol(),
    "gan",
)


def run(name: str, recipe: Recipe = RECIPE, **train) -> Run:
    """A run whose network does not matter."""
    recipe = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **train))
    return Run(Path("runs") / name, recipe, torch.nn.Identity(), torch.device("cpu"))


def grouped(*runs: Run) -> dict[str, list[str]]:
    return groups({one.path.name: one for one in runs})


def test_runs_that_differ_in_their_seed_alone_are_a_group():
    paper = dataclasses.replace(RECIPE, model=joint_gan.Config(fidelity="paper"), name="paper")
    found = grouped(
        run("a", seed=0), run("b", paper, seed=0), run("c", seed=1), run("d", paper, seed=1),
        run("e", seed=2, device="cpu", log_every=3),
    )  # fmt: skip
    assert found == {"gan": ["a", "c", "e"], "paper": ["b", "d"]}


def test_a_run_and_its_copy_are_no_two_runs():
    """A standard deviation over one seed would be 0."""
    assert grouped(run("a", seed=0), run("b", seed=0)) == {}
    assert grouped(run("a", seed=0), run("b", seed=0), run("c", seed=1)) == {"gan": ["a", "c"]}
    twice = grouped(run("a", seed=0), run("b", seed=0), run("c", seed=1), run("d", seed=1))
    assert [*twice.values()] == [["a", "c"], ["b", "d"]]


@pytest.mark.parametrize("change", [{"steps": 11}, {"batch_size": 8}, {"ema": 0.9}])
def test_other_differences_part_them(change):
    assert grouped(run("a", seed=0), run("b", seed=1, **change)) == {}


def test_groups_are_named_after_their_recipe_or_what_the_runs_have_in_common():
    nameless = dataclasses.replace(RECIPE, name="")
    assert grouped(*(run(f"gans_seed{i}", nameless, seed=i) for i in range(3))) == {
        "gans": ["gans_seed0", "gans_seed1", "gans_seed2"]
    }
    # Two groups of one recipe, changed on the command line.
    wide = dataclasses.replace(RECIPE, model=joint_gan.Config(joint_channels=64))
    found = grouped(
        run("narrow-1", seed=1), run("narrow-2", seed=2), run("w1", wide, seed=1),
        run("w2", wide, seed=2),
    )  # fmt: skip
    assert found == {"narrow": ["narrow-1", "narrow-2"], "w": ["w1", "w2"]}
    # Never like a run.
    assert list(grouped(run("gan", seed=1), run("other", seed=2))) == ["gan (seeds)"]
    assert list(grouped(run("x", nameless, seed=1), run("y", nameless, seed=2))) == ["x (seeds)"]


def test_runs_of_two_kinds_cannot_be_compared():
    forecast = run("f", recipes.load("sound2sight_m3so_tiny"))
    with pytest.raises(ValueError, match="runs/f is scored as a forecast experiment, runs/g as a"):
        run_evaluation({"f": forecast, "g": run("g")})


def read_by_scores(monkeypatch) -> list[tuple]:
    """Where the held-out and the training clips come from, as scoring is told."""
    seen = []

    def evaluate_joint(models, data, train, protocol, **others):
        joint_scoring._check(models, data, train, others["judges"])
        seen.append((data, train))
        return JointScores(protocol, SPEC, [], [*models], [], {}, [], {})

    monkeypatch.setattr(joint, "evaluate_joint", evaluate_joint)
    return seen


def generator(recipe: Recipe = RECIPE) -> Run:
    model = joint_gan.Config(image_channels=2, audio_channels=2, joint_channels=2).build(SPEC)
    return dataclasses.replace(run("g", recipe), model=model)


def test_other_data_gives_the_scored_clips_alone(monkeypatch):
    """Copies are sought among what the run learned from."""
    seen = read_by_scores(monkeypatch)
    other = BounceTone(clips=(30, 9, 9), seed=5)
    run_evaluation({"g": generator()}, data=other)
    run_evaluation({"g": generator()})
    ((data, train), (own, same)) = seen
    for found, wanted in (
        (data, other.build(SPEC, "test")),
        (train, RECIPE.data.build(SPEC, "train")),
        (own, RECIPE.data.build(SPEC, "test")),
        (same, RECIPE.data.build(SPEC, "train")),
    ):
        assert len(found) == len(wanted)
        assert torch.equal(found.clips([0, 3]).video, wanted.clips([0, 3]).video)


def test_judges_learn_from_the_runs_own_data(monkeypatch):
    read_by_scores(monkeypatch)
    asked = []
    monkeypatch.setattr(joint, "seat", lambda _, judged, *__, **___: asked.append(judged) or {})
    run_evaluation({"g": generator()}, data=BounceTone(seed=5))
    assert [judged.recipe.data for judged in asked] == [RECIPE.data]


def test_the_report_names_both_data(monkeypatch):
    monkeypatch.setattr(runs_of, "weights_hash", lambda run: "0")
    other, own = (
        recipes.to_json(dataclasses.replace(RECIPE, data=data))["data"]
        for data in (BounceTone(seed=5), RECIPE.data)
    )
    told = runs_of.about({"g": run("g")}, BounceTone(seed=5))
    assert (told["data"], told["recipes"]["g"]["data"]) == (other, own)
    assert runs_of.about({"g": run("g")})["data"] == own


def test_other_data_of_another_spec_is_refused(monkeypatch):
    read_by_scores(monkeypatch)

    class Longer:
        kind = "longer"

        def build(self, spec, split):
            return RECIPE.data.build(spec.with_frames(12), split)

    with pytest.raises(ValueError, match=r"training clips are .*frames=10.* the others .*=12"):
        run_evaluation({"g": generator()}, data=Longer())


def test_without_what_it_learned_from_other_data_does_not_do(tmp_path):
    gone = dataclasses.replace(RECIPE, data=VideoFolder(str(tmp_path / "gone")))
    with pytest.raises(
        ValueError, match=r"runs/g: .*learned from.*gone: no such folder.*data.path"
    ):
        run_evaluation({"g": generator(gone)}, data=BounceTone(clips=(8, 8, 8)))


def test_runs_on_other_clips_cannot_be_compared():
    other = dataclasses.replace(RECIPE, data=BounceTone(seed=5), clip=SPEC.with_frames(12))
    with pytest.raises(ValueError, match=r"differ in clip.frames, data.clips, data.seed: scores"):
        run_evaluation({"a": run("a"), "b": run("b", other)})

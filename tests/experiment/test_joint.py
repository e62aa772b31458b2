"""Generation from nothing: which runs belong together."""

import dataclasses
from pathlib import Path

import pytest
import torch

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint_scores import JointProtocol
from soundsight.experiment import run_evaluation
from soundsight.experiment.joint import groups
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


def test_runs_on_other_clips_cannot_be_compared():
    other = dataclasses.replace(RECIPE, data=BounceTone(seed=5), clip=SPEC.with_frames(12))
    with pytest.raises(ValueError, match=r"differ in clip.frames, data.clips, data.seed: scores"):
        run_evaluation({"a": run("a"), "b": run("b", other)})

"""Judges as experiments: watched while they learn, scored, and shown beside chance."""

import dataclasses
import json

import pytest
import torch

from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.experiment import run_evaluation, run_training, validator, write_evaluation
from soundsight.media.clip import ClipSpec
from soundsight.models.judges import ClassifierConfig, CorrespondenceConfig
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.sampling import load_run
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=8000)
HEARING = Hearing(n_fft=256, hop_length=64, n_mels=16, channels=2)
RECIPE = Recipe(
    ClassifierConfig(part="image", widths=(4, 8, 8, 8), features=8, classes=4),
    BounceTone(clips=(64, 16, 16)),
    SPEC,
    TrainConfig(
        steps=10, batch_size=8, optim={"judge": OptimConfig(lr=1e-2)}, validate_every=5,
        device="cpu",
    ),
    JudgeProtocol(clips=16, resamples=50),
    "judge_of_colours",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A judge of colours, and one of pairs that has learned nothing."""
    folder = tmp_path_factory.mktemp("judges")
    pairs = CorrespondenceConfig(hearing=HEARING, widths=(2, 2, 2, 2), features=4)
    train = dataclasses.replace(RECIPE.train, steps=1)
    run_training(RECIPE, folder / "colours", progress=False)
    run_training(dataclasses.replace(RECIPE, model=pairs, train=train), folder / "pairs")
    return {name: load_run(folder / name, device="cpu") for name in ("colours", "pairs")}


def test_a_judge_is_watched_while_it_learns(runs):
    lines = [
        json.loads(line) for line in (runs["colours"].path / "stats.jsonl").read_text().splitlines()
    ]
    watched = [line["validate/accuracy"] for line in lines if "validate/accuracy" in line]
    assert len(watched) == 2
    # The hook scores the validation split; the trained judge scores there what the log says.
    assert validator(RECIPE)(runs["colours"].model, 0)["accuracy"] == watched[-1]


def test_judges_are_scored_and_shown_together(runs, tmp_path):
    scores = run_evaluation(runs)
    page = write_evaluation(scores, runs, tmp_path, title="Two judges")
    found = json.loads((tmp_path / "scores.json").read_text())
    rows = {(row["name"], row["metric"]): row["value"] for row in found["rows"]}
    assert rows["colours", "accuracy"] == scores["colours"].row("judge", "accuracy").value
    assert rows["colours:chance", "accuracy"] == 0.25
    assert rows["pairs:chance", "auc_other"] == 0.5
    assert {"colours:majority", "pairs"} <= {name for name, _ in rows}
    assert found["protocol"]["weights"].keys() == runs.keys()
    assert found["protocol"]["kind"] == "judge"
    text = page.read_text()
    assert f"{rows['colours', 'accuracy']:.3f}" in text
    assert (tmp_path / "scores.csv").read_text().count("\n") == len(found["rows"]) + 1


def test_few_clips_are_all_scored(runs):
    protocol = JudgeProtocol(clips=500, resamples=5)
    assert run_evaluation({"a": runs["colours"]}, protocol=protocol)["a"].protocol.clips == 16


@dataclasses.dataclass(frozen=True)
class Labelled:
    """BounceTone of which few clips have a label; the data set does not list them."""

    few: int
    path: str = "/clips"
    kind: str = "bounce_tone"

    def build(self, spec, split):
        return SomeLabels(BounceTone(clips=(64, 16, 16)).build(spec, split), self.few)


class SomeLabels:
    def __init__(self, data, few):
        self.data, self.few, self.spec = data, few, data.spec

    def __len__(self):
        return len(self.data)

    def clips(self, indices):
        clip = self.data.clips(indices)
        known = torch.tensor(indices) >= len(self) - self.few
        return clip.replace(label=clip.label.where(known, -1))


def test_data_without_one_label_is_refused_by_name(runs, tmp_path):
    """Once, before anything is trained or scored; one labelled clip is enough to begin."""
    train = dataclasses.replace(RECIPE.train, steps=1)
    none = dataclasses.replace(RECIPE, data=Labelled(0), train=train)
    message = "bounce_tone data /clips, {} split: no clip has a class label; a judge of labels"
    with pytest.raises(ValueError, match=message.format("train")):
        run_training(none, tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ValueError, match=message.format("val")):
        validator(none)
    with pytest.raises(ValueError, match=message.format("test")):
        run_evaluation(runs, data=Labelled(0))
    run_evaluation({"pairs": runs["pairs"]}, data=Labelled(0))  # Asks for no label.

    one = dataclasses.replace(none, data=Labelled(1))
    run_training(one, tmp_path / "one", progress=False)
    scores = run_evaluation({"a": runs["colours"]}, data=Labelled(1))["a"]
    assert scores.row("judge", "accuracy").n == 1


def test_judges_of_other_clips_cannot_be_compared(runs):
    other = dataclasses.replace(
        runs["pairs"], recipe=dataclasses.replace(RECIPE, data=BounceTone(seed=9))
    )
    with pytest.raises(ValueError, match=r"differ in data.clips, data.seed: scores compare only"):
        run_evaluation(runs | {"pairs": other})

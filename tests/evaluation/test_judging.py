"""Scores of judges against answers that are known."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import nn

from soundsight import recipes
from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.judging import (
    JudgeProtocol,
    _retrieval,
    auc_interval,
    bootstrap_statistic,
    evaluate_judge,
)
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=6000)
PROTOCOL = JudgeProtocol(clips=30, resamples=200, batch_clips=7)


def judge_of(name: str):
    torch.manual_seed(0)
    return recipes.load(f"judge_{name}_tiny").model.build(SPEC)


def data(**options):
    return BounceTone(clips=(10, 10, 60), **options).build(SPEC, "test")


class Fixed(nn.Module):
    """Always the same class, whatever the features."""

    def __init__(self, classes: int, answer: int) -> None:
        super().__init__()
        self.register_buffer("row", torch.eye(classes)[answer])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row.expand(*x.shape[:-1], -1)


def test_a_fixed_answer_scores_the_share_of_its_class():
    for answer in range(4):
        judge = judge_of("sound")
        judge.to_logits = Fixed(4, answer)
        scores = evaluate_judge(judge, data(), PROTOCOL)
        labels = data().clips(scores.indices).label.numpy()
        assert scores.row("judge", "accuracy").value == pytest.approx((labels == answer).mean())
        assert scores.row("judge", "accuracy_macro").value == pytest.approx(1 / 4)
        most = np.bincount(labels).max() / len(labels)
        assert scores.row("majority", "accuracy").value == pytest.approx(most)
        assert scores.row("chance", "accuracy").value == 1 / 4


@pytest.mark.parametrize("name", ["sound", "video", "image"])
def test_accuracies_equal_those_of_scikit_learn(name):
    judge = judge_of(name)
    scores = evaluate_judge(judge, data(), PROTOCOL)
    clip = data().clips(scores.indices)
    with torch.no_grad():
        guesses = judge.eval().logits(clip).argmax(1).numpy()
    labels = judge.labels(clip).numpy()
    row, macro = scores.row("judge", "accuracy"), scores.row("judge", "accuracy_macro")
    assert row.value == pytest.approx((guesses == labels).mean())
    assert macro.value == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert row.low <= row.value <= row.high
    assert row.n == 30


def test_pitch_counts_steps_that_have_one():
    judge = judge_of("pitch")
    scores = evaluate_judge(judge, data(), PROTOCOL)
    clip = data().clips(scores.indices)
    with torch.no_grad():
        guesses = judge.to_logits(judge.eval().steps(clip)).argmax(-1)
    truth = judge.pitches(clip, guesses.shape[1])
    shares = [(g == t)[t >= 0].double().mean() for g, t in zip(guesses, truth, strict=True)]
    near = [
        ((g - t).abs() <= 1)[t >= 0].double().mean() for g, t in zip(guesses, truth, strict=True)
    ]
    assert scores.row("judge", "accuracy").value == pytest.approx(np.mean(shares))
    assert scores.row("judge", "accuracy_near").value == pytest.approx(np.mean(near))
    assert scores.row("chance", "accuracy").value == pytest.approx(1 / 61)


@pytest.mark.parametrize("name", ["sound", "image", "pitch", "correspondence"])
def test_scores_do_not_depend_on_the_batches_and_leave_the_judge_as_it_was(name):
    judge = judge_of(name).train()
    before = {key: value.clone() for key, value in judge.state_dict().items()}
    one = evaluate_judge(judge, data(), PROTOCOL)
    other = evaluate_judge(judge, data(), dataclasses.replace(PROTOCOL, batch_clips=30))
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a[:4] == b[:4]
        assert a.value == pytest.approx(b.value, abs=1e-6)
    assert all(torch.equal(value, before[key]) for key, value in judge.state_dict().items())
    assert judge.training


def test_auc_is_that_of_scikit_learn_ties_included():
    generator = np.random.default_rng(0)
    matched = generator.normal(0.7, 1, 80).round(1)
    mismatched = generator.normal(0, 1, 80).round(1)
    found = auc_interval(matched, mismatched, PROTOCOL)
    truth = np.repeat([1, 0], 80)
    assert found.value == pytest.approx(roc_auc_score(truth, np.concatenate([matched, mismatched])))
    assert found.low < found.value < found.high
    assert auc_interval(np.ones(5), np.zeros(5), PROTOCOL)[:3] == (1, 1, 1)
    assert auc_interval(np.ones(5), np.ones(5), PROTOCOL)[:3] == pytest.approx((0.5, 0.5, 0.5))


def test_intervals_of_a_mean_are_those_of_theory():
    values = np.random.default_rng(1).normal(3, 2, 400)
    protocol = JudgeProtocol(resamples=4000)
    found = bootstrap_statistic(lambda weights: weights @ values, 400, protocol)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_pictures_have_no_time_to_be_off_by():
    """A judge of one frame is scored against other clips alone."""
    spec = ClipSpec(frames=1, fps=1, size=16, channels=3, sample_rate=6000)
    torch.manual_seed(0)
    judge = recipes.load("judge_correspondence_tiny").model.build(spec)
    pairs = BounceTone(clips=(10, 10, 60)).build(spec, "test")
    metrics = {row.metric for row in evaluate_judge(judge, pairs, PROTOCOL).rows}
    assert {"auc_other", "recall_1_sound"} <= metrics
    assert "auc_shifted" not in metrics


def test_retrieval_by_hand():
    """Ranks of the right one: pictures 1, 2, 2; sounds 1, 1, 3."""
    similarity = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.1], [0.3, 0.2, 0.25]])
    rows = {(row.name, row.metric): row.value for row in _retrieval(similarity, PROTOCOL)}
    assert rows["judge", "recall_1_sound"] == pytest.approx(1 / 3)
    assert rows["judge", "recall_1_picture"] == 1
    assert rows["judge", "recall_5_sound"] == rows["chance", "recall_5_sound"] == 1
    assert rows["chance", "recall_1_sound"] == pytest.approx(1 / 3)


def test_equal_similarities_find_nothing():
    rows = {(r.name, r.metric): r.value for r in _retrieval(np.ones((20, 20)), PROTOCOL)}
    assert rows["judge", "recall_10_sound"] == 0
    assert rows["chance", "recall_10_sound"] == 0.5


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(ValueError, match=r"shift_s=0.9.*room for 0.40 s"):
        evaluate_judge(
            judge_of("correspondence"), data(), dataclasses.replace(PROTOCOL, shift_s=0.9)
        )
    with pytest.raises(ValueError, match="clips=99: the split has only 60"):
        evaluate_judge(judge_of("sound"), data(), dataclasses.replace(PROTOCOL, clips=99))
    other = BounceTone().build(dataclasses.replace(SPEC, sample_rate=8000), "test")
    with pytest.raises(ValueError, match=r"BounceToneDataset, test split: .*sample_rate"):
        evaluate_judge(judge_of("sound"), other, PROTOCOL)


@pytest.mark.parametrize(
    "change", [{"clips": 1}, {"seed": -1}, {"confidence": 1.0}, {"shift_s": 0.0}, {"resamples": 0}]
)
def test_a_strange_protocol_is_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=name):
        JudgeProtocol(**change)

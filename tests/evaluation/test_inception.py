"""Inception Score and pitch entropy: known answers, a plain loop, and their null levels."""

import math

import numpy as np
import pytest
import torch

from soundsight.evaluation.inception import PitchEntropy, inception_score, pitch_entropy


def softmax(n: int, k: int, *, sharpness: float = 3.0, seed: int = 0) -> torch.Tensor:
    logits = np.random.default_rng(seed).standard_normal((n, k))
    return torch.from_numpy(sharpness * logits).softmax(1)


def certain(labels: np.ndarray, k: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), k).double()


def plain(p: np.ndarray) -> float:
    """The definition, clip by clip and class by class."""
    marginal = p.mean(0)
    divergences = [
        sum(a * math.log(a / b) for a, b in zip(row, marginal, strict=True) if a > 0) for row in p
    ]
    return math.exp(sum(divergences) / len(p))


@pytest.mark.parametrize("k", [2, 7])
def test_certain_and_equally_frequent_classes_score_k(k):
    score = inception_score(torch.eye(k).repeat(30, 1), splits=1, seed=0)
    assert score == pytest.approx((k, 0))


def test_the_same_probabilities_for_every_clip_score_1():
    score = inception_score(torch.tensor([[0.2, 0.5, 0.3]]).repeat(40, 1), splits=4, seed=0)
    assert score == (pytest.approx(1, abs=1e-12), pytest.approx(0, abs=1e-12))


def test_one_split_equals_the_definition():
    p = softmax(50, 6)
    assert inception_score(p, splits=1, seed=0).mean == pytest.approx(plain(p.numpy()))


def test_splits_equal_the_definition_on_permuted_parts():
    p = softmax(47, 6)
    order = np.random.default_rng(5).permutation(47)
    parts = [plain(part) for part in np.array_split(p.numpy()[order], 10)]
    score = inception_score(p, seed=5)
    assert score == pytest.approx((np.mean(parts), np.std(parts)))
    assert score == inception_score(p, seed=5)
    assert score != inception_score(p, seed=6)


def test_clips_sorted_by_class_are_permuted():
    p = certain(np.repeat(np.arange(5), 100), 5)
    assert inception_score(p, splits=5, seed=0).mean > 4.8


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 1e4])
def test_bounds(sharpness):
    score = inception_score(softmax(60, 4, sharpness=sharpness), splits=6, seed=0)
    assert 1 <= score.mean <= 4
    few = inception_score(torch.eye(10), splits=5, seed=0)
    assert few == pytest.approx((2, 0))  # Two clips a split: no more than two classes.


def test_what_a_split_of_m_clips_takes_off():
    generator = np.random.default_rng(0)
    scores = [
        inception_score(certain(generator.integers(10, size=1000), 10), seed=i).mean
        for i in range(20)
    ]
    assert np.mean(scores) == pytest.approx(10 * (1 - 9 / 200), abs=0.03)


def test_dropped_classes_and_unsure_ones_score_less():
    labels = np.random.default_rng(0).integers(8, size=800)
    sure = certain(labels, 8)
    dropped = [inception_score(sure[labels < kept], seed=0).mean for kept in (8, 7, 5, 2, 1)]
    unsure = [
        inception_score((1 - level) * sure + level / 8, seed=0).mean for level in (0, 0.2, 0.5, 1)
    ]
    assert dropped == sorted(dropped, reverse=True)
    assert unsure == sorted(unsure, reverse=True)
    assert dropped[-1] == unsure[-1] == pytest.approx(1)


def test_known_pitch_entropies():
    k = 61
    assert pitch_entropy(torch.eye(k)) == pytest.approx((0, math.log(k)))
    assert pitch_entropy(torch.full((9, k), 1 / k)) == pytest.approx((math.log(k),) * 2)
    assert pitch_entropy(torch.eye(k)[[3, 3, 3]]) == PitchEntropy(0, 0)
    halves = torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    assert pitch_entropy(halves) == pytest.approx((math.log(2), math.log(4)))


def test_pitch_entropies_differ_by_the_logarithm_of_the_inception_score():
    p = softmax(80, 12).float()
    per_sample, marginal = pitch_entropy(p)
    assert 0 < per_sample < marginal < math.log(12)
    expected = math.log(inception_score(p, splits=1, seed=0).mean)
    assert marginal - per_sample == pytest.approx(expected)


def test_neither_sense_alone_can_be_flattered():
    varied = pitch_entropy(torch.eye(8).repeat(4, 1))
    stuck = pitch_entropy(torch.eye(8)[[0] * 32])
    noise = pitch_entropy(torch.full((32, 8), 1 / 8))
    assert stuck.per_sample == varied.per_sample
    assert stuck.marginal < varied.marginal
    assert noise.marginal == pytest.approx(varied.marginal)
    assert noise.per_sample > varied.per_sample


def test_rounding_of_float32_is_divided_out():
    p = softmax(200, 300).float()
    assert pitch_entropy(1.0005 * p) == pytest.approx(pitch_entropy(p), abs=1e-9)


@pytest.mark.parametrize("score", [pitch_entropy, lambda p: inception_score(p, splits=1, seed=0)])
def test_bad_probabilities_are_named(score):
    with pytest.raises(ValueError, match=r"softmax\(logits\)"):
        score(torch.tensor([[0.5, 0.6]]))
    with pytest.raises(ValueError, match="not negative"):
        score(torch.tensor([[1.5, -0.5]]))
    with pytest.raises(ValueError, match="finite"):
        score(torch.tensor([[math.nan, 1.0]]))
    with pytest.raises(ValueError, match="0 clips"):
        score(torch.zeros(0, 4))


@pytest.mark.parametrize("splits", [0, 6])
def test_bad_splits_are_named(splits):
    with pytest.raises(ValueError, match=f"splits={splits} must lie between 1 and .* 5"):
        inception_score(softmax(5, 3), splits=splits, seed=0)

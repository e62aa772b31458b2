"""Diversity and best-of-K: known answers and an enumeration of all subsets."""

from itertools import combinations

import numpy as np
import pytest
import torch

from soundsight.evaluation.diversity import best_of_curve, pairs, pairwise_ssim
from soundsight.evaluation.image import ssim


def test_all_pairs_then_a_seeded_choice():
    assert pairs(3, seed=0).tolist() == [[0, 1], [0, 2], [1, 2]]
    assert len(pairs(20, seed=0)) == 190
    many = pairs(100, seed=0)
    assert many.shape == (500, 2)
    assert (many[:, 0] < many[:, 1]).all()
    assert len(np.unique(many, axis=0)) == 500
    assert (many == pairs(100, seed=0)).all()
    assert (many != pairs(100, seed=1)).any()
    with pytest.raises(ValueError, match="num_samples=1"):
        pairs(1, seed=0)


def test_copies_score_one_and_different_samples_their_ssim():
    a, b = torch.rand(2, 4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    same = torch.stack([a, a, a])
    mixed = torch.stack([a, a, b])
    found = pairwise_ssim(torch.stack([same, mixed]), data_range=1.0, seed=0)
    across = float(ssim(a, b, data_range=1.0).mean())
    assert found.tolist() == pytest.approx([1, (1 + 2 * across) / 3])


def test_best_of_k_is_the_mean_over_all_subsets():
    scores = np.random.default_rng(0).normal(size=(3, 6))
    curve = best_of_curve(scores)
    for k in range(1, 7):
        subsets = [scores[:, list(chosen)].max(1) for chosen in combinations(range(6), k)]
        np.testing.assert_allclose(curve[:, k - 1], np.mean(subsets, axis=0), atol=1e-12)
    assert (np.diff(curve, axis=1) >= 0).all()


def test_best_of_many_stays_finite():
    curve = best_of_curve(np.linspace(0, 1, 100)[None])
    assert curve[0, 0] == pytest.approx(0.5)
    assert curve[0, -1] == pytest.approx(1)

"""Fréchet and kernel distance: closed forms, scipy, a double loop, and the null levels."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from soundsight.evaluation import frechet
from soundsight.evaluation.frechet import (
    Moments,
    frechet_distance,
    frechet_from_moments,
    frechet_null,
    kernel_distance,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def with_moments(mean: list[float], variances: list[float], n: int, seed: int) -> torch.Tensor:
    """Features whose sample mean and sample covariance are exactly these."""
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    x = torch.linalg.solve(torch.linalg.cholesky(x.T.cov()), x.T).T
    return x * torch.tensor(variances).double().sqrt() + torch.tensor(mean).double()


def modes(shares: list[float], n: int, seed: int) -> torch.Tensor:
    """Features around eight centres, by the share of each."""
    generator = np.random.default_rng(seed)
    centres = 4 * np.random.default_rng(99).standard_normal((8, 12))
    which = generator.choice(8, n, p=np.array(shares) / sum(shares))
    return torch.from_numpy(centres[which] + generator.standard_normal((n, 12)))


def by_sqrtm(x: torch.Tensor, y: torch.Tensor) -> float:
    """The definition with scipy's matrix square root, of symmetric matrices only."""
    a, b = (np.cov(v.numpy(), rowvar=False) for v in (x, y))
    root = sqrtm(a)
    step = x.numpy().mean(0) - y.numpy().mean(0)
    return float(step @ step + np.trace(a + b - 2 * np.real(sqrtm(root @ b @ root))))


@pytest.mark.parametrize(("n", "d"), [(500, 16), (2, 3), (40, 300)])
def test_identical_sets_score_0(n, d):
    x = 10 * normal(n, d) + 3
    assert 0 <= frechet_distance(x, x.clone()) < 1e-6
    assert 0 <= frechet_distance(x, x.flip(0)) < 1e-6


def test_two_normal_distributions_with_diagonal_covariances():
    x = with_moments([0, 0, 0], [1, 4, 9], 50, seed=0)
    y = with_moments([3, -4, 0], [4, 4, 1], 70, seed=1)
    expected = 3**2 + 4**2 + (1 - 2) ** 2 + 0 + (3 - 1) ** 2
    assert frechet_distance(x, y) == pytest.approx(expected, abs=1e-9)


def test_covariances_that_do_not_commute_equal_scipy():
    mix = normal(10, 10, seed=2)
    x, y = normal(80, 10) @ mix + 1, normal(60, 10, seed=1) @ mix.T
    assert frechet_distance(x, y) == pytest.approx(by_sqrtm(x, y), rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(by_sqrtm(x, y), rel=1e-9)


def test_fewer_clips_than_dimensions_equals_the_gram_route():
    """Tr (Σ_x Σ_y)^½ is the nuclear norm of X Yᵀ, whatever the rank."""
    x, y = 5 * normal(12, 90), 5 * normal(20, 90, seed=1) + 2
    a, b = ((v - v.mean(0)).numpy() / math.sqrt(len(v) - 1) for v in (x, y))
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    step = (x.mean(0) - y.mean(0)).numpy()
    expected = step @ step + (a**2).sum() + (b**2).sum() - 2 * overlap
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)


def test_a_flat_distribution_against_itself_turned():
    """All spread along one axis, then along another: nothing overlaps."""
    x, y = torch.zeros(5, 2).double(), torch.zeros(5, 2).double()
    x[:, 0] = y[:, 1] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert frechet_distance(x, y) == pytest.approx(2.5 + 2.5)


@pytest.mark.parametrize(
    ("d", "n", "expected"), [(64, 907, 2.4), (128, 907, 9.4), (64, 200, 11), (128, 200, 43)]
)
def test_null_level_of_standard_normal_features(d, n, expected):
    values = [
        frechet_distance(normal(n, d, seed=2 * i), normal(n, d, seed=2 * i + 1)) for i in range(3)
    ]
    assert np.mean(values) == pytest.approx(expected, rel=0.05)
    assert frechet_null(torch.eye(d), n, n) == pytest.approx(expected, rel=0.02)


def test_null_level_of_a_skewed_spectrum_and_unequal_sizes():
    scale = torch.tensor([0.5**i for i in range(8)]).double()
    values = [
        frechet_distance(normal(300, 8, seed=2 * i) * scale, normal(900, 8, seed=2 * i + 1) * scale)
        for i in range(300)
    ]
    expected = frechet_null(torch.diag(scale**2), 300, 900)
    assert np.mean(values) == pytest.approx(expected, rel=0.1)
    turned = torch.linalg.qr(normal(8, 8)).Q
    covariance = turned @ torch.diag(scale**2) @ turned.T
    assert frechet_null(covariance, 300, 900) == pytest.approx(expected)


def test_null_level_of_no_spread_is_0():
    assert frechet_null(torch.zeros(3, 3), 10, 10) == 0


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_noise_and_dropped_modes_make_it_worse(distance):
    real = modes([1] * 8, 800, seed=0)
    noisy = [
        distance(real, modes([1] * 8, 800, seed=1) + level * normal(800, 12, seed=2))
        for level in (0, 0.5, 1, 2, 4)
    ]
    dropped = [
        distance(real, modes([1] * (8 - lost) + [0] * lost, 800, seed=1)) for lost in (0, 1, 2, 4)
    ]
    assert noisy == sorted(noisy)
    assert dropped == sorted(dropped)
    assert min(noisy[1] - noisy[0], dropped[1] - dropped[0]) > 0.05 * abs(noisy[0])


def test_batches_do_not_matter():
    x = normal(101, 7) * torch.arange(1, 8) + 1e8
    whole, parts = Moments(), Moments()
    whole.add(x)
    for part in (*x.split(1)[:3], x[3:40], x[40:40], x[40:]):
        parts.add(part)
    assert parts.count == whole.count == 101
    expected = np.cov(x.numpy(), rowvar=False)
    np.testing.assert_allclose(whole.covariance, expected, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(parts.covariance, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(parts.mean, x.numpy().mean(0), rtol=1e-14)
    assert frechet_from_moments(whole, parts) < 1e-6


def test_half_precision_features_are_summed_in_double():
    x = (normal(3000, 4) + 100).half()
    moments = Moments()
    moments.add(x)
    assert moments.covariance.dtype == torch.float64
    np.testing.assert_allclose(moments.covariance, np.cov(x.double().numpy().T), rtol=1e-9)


def double_loop(x: torch.Tensor, y: torch.Tensor, degree=3, gamma=None, coef0=1.0) -> float:
    gamma = 1 / x.shape[1] if gamma is None else gamma

    def mean(a, b, same):
        values = [
            (gamma * sum(p * q for p, q in zip(u, v, strict=True)) + coef0) ** degree
            for i, u in enumerate(a.tolist())
            for j, v in enumerate(b.tolist())
            if not (same and i == j)
        ]
        return sum(values) / len(values)

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


@pytest.mark.parametrize("options", [{}, {"degree": 2, "gamma": 0.3, "coef0": 0.0}])
@pytest.mark.parametrize("block", [2048, 5])
def test_kernel_distance_equals_the_double_loop(monkeypatch, options, block):
    monkeypatch.setattr(frechet, "_BLOCK", block)
    x, y = normal(13, 4) + 2, 2 * normal(9, 4, seed=1) - 1
    expected = double_loop(x, y, **options)
    assert expected > 1
    assert kernel_distance(x, y, **options) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_not_blind_to_the_mean():
    x = normal(300, 6)
    assert kernel_distance(x, x.roll(1, 0) + 1) > 1


def test_kernel_distance_is_unbiased():
    values = [
        kernel_distance(normal(907, 64, seed=2 * i), normal(907, 64, seed=2 * i + 1))
        for i in range(12)
    ]
    assert max(np.abs(values)) < 0.004
    small = [
        kernel_distance(normal(30, 8, seed=2 * i), normal(40, 8, seed=2 * i + 1))
        for i in range(400)
    ]
    assert abs(np.mean(small)) < 3 * np.std(small) / math.sqrt(400)
    assert 0.3 < np.mean(np.array(small) < 0) < 0.7


def test_a_set_against_itself_scores_below_0():
    x = normal(50, 5)
    kernel = (x @ x.T / 5 + 1).pow(3)
    diagonal = float(kernel.diagonal().mean())
    rest = float(kernel.sum() - kernel.trace()) / (50 * 49)
    assert kernel_distance(x, x) == pytest.approx(-2 / 50 * (diagonal - rest))
    assert kernel_distance(x, x) < 0


def test_subsets_of_the_kernel_distance():
    x, y = normal(200, 6), normal(150, 6, seed=1) + 0.5
    whole = kernel_distance(x, y)
    every = kernel_distance(x[:150], y, subsets=2, subset_size=150, seed=0)
    assert every == pytest.approx(kernel_distance(x[:150], y))
    some = [kernel_distance(x, y, subsets=60, subset_size=50, seed=seed) for seed in (0, 0, 1)]
    assert some[0] == some[1] != some[2]
    assert some == pytest.approx([whole] * 3, rel=0.15)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_features_are_named(distance):
    x = normal(5, 3)
    broken = x.clone()
    broken[2, 1] = math.nan
    with pytest.raises(ValueError, match="not finite in 1 of 5 rows"):
        distance(x, broken)
    with pytest.raises(ValueError, match="at least 2"):
        distance(x[:1], x)
    with pytest.raises(ValueError, match="widths 3 and 2"):
        distance(x, x[:, :2])
    with pytest.raises(ValueError, match="0 columns"):
        distance(x[:, :0], x[:, :0])


def test_bad_options_are_named():
    x = normal(5, 3)
    with pytest.raises(ValueError, match="degree=0"):
        kernel_distance(x, x, degree=0)
    with pytest.raises(ValueError, match="seed=None"):
        kernel_distance(x, x, subsets=3)
    with pytest.raises(ValueError, match=r"subset_size=6 must lie between 2 and .* 5"):
        kernel_distance(x, x, subsets=3, subset_size=6, seed=0)
    with pytest.raises(ValueError, match="n=1, m=5"):
        frechet_null(torch.eye(2), 1, 5)
    moments = Moments()
    with pytest.raises(ValueError, match="0 features: at least 1"):
        _ = moments.mean
    moments.add(x)
    with pytest.raises(ValueError, match="width 2 after ones of width 3"):
        moments.add(x[:, :2])

"""Precision, recall, density, coverage and memorization: a plain loop, lemmas, and cheats."""

import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from soundsight.evaluation import coverage
from soundsight.evaluation.coverage import coverage_null, memorization, nearest, prdc


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def modes(n: int, seed: int, *, kept: int = 8) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = 3 * np.random.default_rng(99).standard_normal((8, 6))
    return centres[generator.integers(kept, size=n)] + 0.3 * generator.standard_normal((n, 6))


def plain(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """The definitions, pair by pair."""

    def radius(points, i):
        return sorted(math.dist(points[i], q) for j, q in enumerate(points) if j != i)[k - 1]

    reach_real = [radius(real, i) for i in range(len(real))]
    reach_fake = [radius(fake, j) for j in range(len(fake))]
    inside = [[math.dist(x, y) <= r for y in fake] for x, r in zip(real, reach_real, strict=True)]
    recalled = [
        any(math.dist(x, y) <= r for y, r in zip(fake, reach_fake, strict=True)) for x in real
    ]
    return (
        sum(any(row[j] for row in inside) for j in range(len(fake))) / len(fake),
        sum(recalled) / len(real),
        sum(map(sum, inside)) / (k * len(fake)),
        sum(map(any, inside)) / len(real),
    )


@pytest.mark.parametrize("neighbours", [1, 5])
@pytest.mark.parametrize("block", [1024, 7])
def test_equals_the_definitions(monkeypatch, neighbours, block):
    monkeypatch.setattr(coverage, "_BLOCK", block)
    real, fake = normal(40, 3, seed=0), normal(31, 3, seed=3) + 1.4
    expected = plain(real, fake, neighbours)
    assert len({0.0, 1.0, *expected}) == 6
    assert prdc(real, fake, neighbours=neighbours) == pytest.approx(expected)


def test_four_points_by_hand():
    real = np.array([[0.0], [1.0], [3.0]])  # Neighbourhoods [-1, 1], [0, 2] and [1, 5].
    fake = np.array([[0.5], [2.5], [9.0]])  # Neighbourhoods [-1.5, 2.5], [0.5, 4.5], [2.5, 15.5].
    found = prdc(real, fake, neighbours=1)
    assert found == pytest.approx((2 / 3, 1, 3 / 3, 1))
    assert prdc(fake, real, neighbours=1) == pytest.approx((1, 2 / 3, 5 / 3, 1))


def test_identical_and_distant_sets():
    x = normal(60, 4, seed=0).astype(np.float32)
    assert prdc(x, x.copy()) == pytest.approx((1, 1, 6 / 5, 1))
    assert prdc(x, x + 100) == (0, 0, 0, 0)


def test_null_levels_hold_for_any_distribution():
    for scale in (np.ones(4), np.array([1, 1e-2, 1e-4, 1])):
        found = np.array(
            [
                prdc(normal(200, 4, seed=2 * i) * scale, normal(150, 4, seed=2 * i + 1) * scale)
                for i in range(60)
            ]
        )
        assert found[:, 2].mean() == pytest.approx(1, abs=0.03)
        assert found[:, 3].mean() == pytest.approx(coverage_null(200, 150), abs=0.005)


def test_null_levels_of_the_docstring():
    found = prdc(normal(1000, 64, seed=0), normal(1000, 64, seed=1))
    assert found.precision == pytest.approx(0.73, abs=0.05)
    assert found.recall == pytest.approx(0.73, abs=0.05)
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(0.969, abs=0.02)
    assert coverage_null(10**6, 10**6) == pytest.approx(1 - 1 / 32, abs=1e-5)
    assert coverage_null(3, 4, neighbours=1) == pytest.approx(1 - 2 / 6)


def test_noise_costs_precision_and_dropped_modes_cost_recall():
    real = modes(600, seed=0)
    noisy = [prdc(real, modes(600, seed=1) + s * normal(600, 6, seed=2)) for s in (0, 0.3, 1, 3)]
    dropped = [prdc(real, modes(600, seed=1, kept=kept)) for kept in (8, 7, 5, 2)]
    for key in ("precision", "density", "coverage"):
        values = [getattr(one, key) for one in noisy]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1] + 0.5
    for key in ("recall", "coverage"):
        values = [getattr(one, key) for one in dropped]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1] + 0.5
    assert min(one.precision for one in dropped) > 0.8  # Precision alone does not see it.


def test_an_outlier_deceives_precision_but_not_density():
    real = np.concatenate([normal(100, 2, seed=0), [[1000.0, 0.0]]])
    fake = np.array([500.0, 0.0]) + normal(100, 2, seed=1)
    found = prdc(real, fake)
    assert found.precision == 1
    assert found.density < 0.25
    assert found.coverage == pytest.approx(1 / 101)


def test_nearest_training_clip():
    train = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 4.0]])
    index, distance = nearest(train, np.array([[3.0, 4.0], [0.0, 1.0], [-3.0, -4.0]]))
    assert index.tolist() == [1, 0, 0]
    assert distance.tolist() == [0, 1, 5]


def test_blocks_do_not_show(monkeypatch):
    train, x = normal(300, 5, seed=0), normal(50, 5, seed=1)
    index, distance = nearest(train, x)
    for i in range(50):
        every = np.linalg.norm(train - x[i], axis=1)
        assert index[i] == every.argmin()
        assert distance[i] == pytest.approx(every.min())
    monkeypatch.setattr(coverage, "_BLOCK", 7)
    assert (nearest(train, x).rows == index).all()
    assert (nearest(train, x).distances == distance).all()


def test_a_copy_far_from_the_origin_is_at_distance_0():
    train = normal(200, 128, seed=0) + 1e4
    assert (nearest(train, train[50:80]).distances == 0).all()
    assert (nearest(train, train[50:80]).rows == np.arange(50, 80)).all()


def test_copies_of_training_clips_are_caught_and_held_out_clips_are_not():
    train, held_out, other = modes(500, seed=0), modes(300, seed=1), modes(300, seed=2)
    copied = memorization(train, held_out, train[:200])
    assert (copied.auc, copied.copies) == (1, 1)
    assert copied.z > 10
    assert copied.generated.rows.tolist() == list(range(200))
    nearly = memorization(train, held_out, train[:200] + 0.01 * normal(200, 6, seed=3))
    assert nearly.auc > 0.99
    honest = memorization(train, held_out, other)
    assert abs(honest.z) < 3
    assert honest.auc == pytest.approx(0.5, abs=0.08)
    assert honest.copies < 0.03


def test_memorizing_is_what_nothing_else_sees():
    train, test = modes(500, seed=0), modes(300, seed=1)
    copies, fresh = prdc(test, train), prdc(test, modes(500, seed=5))
    assert copies == pytest.approx(fresh, abs=0.1)
    assert memorization(train, test, train).auc == 1


def test_a_few_copies_show_in_their_share():
    train, held_out = normal(500, 16, seed=0), normal(400, 16, seed=1)
    generated = np.concatenate([train[:20], normal(380, 16, seed=2)])
    found = memorization(train, held_out, generated)
    assert found.auc < 0.6
    assert 0.05 <= found.copies < 0.07


def test_noise_moves_away_from_memory_and_past_it():
    train, held_out = modes(400, seed=0), modes(400, seed=1)
    values = [
        memorization(train, held_out, train + level * normal(400, 6, seed=2))
        for level in (0, 0.1, 0.3, 3)
    ]
    for key in ("auc", "copies", "z"):
        ordered = [getattr(one, key) for one in values]
        assert ordered == sorted(ordered, reverse=True)
    assert values[-1].auc < 0.05  # Unlike anything is no merit either.


def test_auc_equals_scipy_and_ties_count_half():
    train, held_out, generated = normal(90, 2, 0), normal(31, 2, 1), 0.7 * normal(44, 2, 2)
    found = memorization(train, held_out, generated)
    u = mannwhitneyu(found.held_out.distances, found.generated.distances, alternative="greater")
    assert found.auc == pytest.approx(u.statistic / (31 * 44))
    assert found.z == pytest.approx((found.auc - 0.5) * math.sqrt(12 * 31 * 44 / 76))
    assert 0.5 < found.auc < 1
    assert memorization(train, held_out, held_out[::-1].copy()).auc == 0.5
    both = np.concatenate([train[:3], train[:3]])
    assert memorization(train, both, both).copies == 0


def test_null_distribution_of_memorization():
    train = normal(200, 3, seed=0)
    found = [
        memorization(train, normal(50, 3, seed=2 * i), normal(70, 3, seed=2 * i + 1))
        for i in range(1, 201)
    ]
    z = np.array([one.z for one in found])
    assert abs(z.mean()) < 0.25
    assert 0.85 < z.std() < 1.15
    assert np.mean([one.copies for one in found]) == pytest.approx(1 / 51, abs=0.006)


def test_bad_arguments_are_named():
    x = normal(6, 3, seed=0)
    broken = x.copy()
    broken[0, 0] = np.inf
    for neighbours in (0, 6):
        with pytest.raises(ValueError, match=f"neighbours={neighbours} must lie between 1 and"):
            prdc(x, x, neighbours=neighbours)
    with pytest.raises(ValueError, match="real is 3 wide and fake 2"):
        prdc(x, x[:, :2])
    with pytest.raises(ValueError, match="fake is not finite in 1 of 6 rows"):
        prdc(x, broken)
    with pytest.raises(ValueError, match="train has 0 rows"):
        nearest(x[:0], x)
    with pytest.raises(ValueError, match="train is 3 wide and generated 1"):
        memorization(x, x, x[:, :1])
    with pytest.raises(ValueError, match="held_out is not finite"):
        memorization(x, broken, x)
    with pytest.raises(ValueError, match="neighbours=3"):
        coverage_null(3, 10, neighbours=3)

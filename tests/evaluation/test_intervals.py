"""Bootstrap intervals: known answers and coverage."""

import numpy as np
import pytest

from soundsight.evaluation.intervals import bootstrap, bootstrap_columns, bootstrap_difference


def test_constant_values_have_no_width():
    assert bootstrap(np.full(7, 0.3), seed=0) == (pytest.approx(0.3), *[pytest.approx(0.3)] * 2, 7)
    only = bootstrap(np.array([2.0]), seed=0)
    assert only == (2, 2, 2, 1)


def test_interval_of_two_clips_by_hand():
    # Resamples of {0, 1} have mean 0, 1/2, 1 with probability 1/4, 1/2, 1/4.
    values = np.array([0.0, 1.0])
    assert bootstrap(values, seed=0)[:3] == (0.5, 0, 1)
    assert bootstrap(values, seed=0, confidence=0.4)[:3] == (0.5, 0.5, 0.5)


def test_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    values = generator.normal(3.0, 2.0, size=(60, 400))
    found = bootstrap_columns(values, seed=1, confidence=0.9, resamples=1000)
    covered = np.mean([interval.low <= 3 <= interval.high for interval in found])
    assert 0.85 <= covered <= 0.94
    width = np.mean([interval.high - interval.low for interval in found])
    assert width == pytest.approx(2 * 1.645 * 2 / np.sqrt(60), rel=0.05)


def test_pairing_removes_what_makes_a_clip_hard():
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 10, 50)
    a, b = hard + 1 + generator.normal(0, 0.1, 50), hard
    paired = bootstrap_difference(a, b, seed=0)
    assert paired.value == pytest.approx((a - b).mean())
    assert 0.9 < paired.low < 1 < paired.high < 1.1
    alone = bootstrap(a, seed=0)
    assert alone.high - alone.low > 20 * (paired.high - paired.low)


def test_the_seed_decides_and_columns_share_resamples():
    values = np.random.default_rng(3).normal(size=(30, 2))
    values[:, 1] = 5 - 2 * values[:, 0]
    first, second = bootstrap_columns(values, seed=4)
    assert first == pytest.approx(bootstrap(values[:, 0], seed=4))
    assert first != bootstrap(values[:, 0], seed=5)
    assert second.low == pytest.approx(5 - 2 * first.high)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros(0), {}, "at least one clip"),
        (np.array([1.0, np.inf]), {}, "finite"),
        (np.zeros(3), {"confidence": 95.0}, r"confidence=95.0"),
        (np.zeros(3), {"resamples": 0}, "resamples=0"),
    ],
)
def test_bad_input(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(values, seed=0, **options)

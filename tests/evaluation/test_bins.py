"""NDB: counts worked out by hand, scipy's test, the null level, and dropped modes."""

import math

import numpy as np
import pytest
import sklearn.cluster
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency
from threadpoolctl import threadpool_info, threadpool_limits

from soundsight.evaluation.bins import Bins, log_spectrogram_features, ndb

TONES = (220.0, 440.0, 880.0, 1760.0)


def clusters(counts: list[int], *, d: int = 3, seed: int = 0) -> np.ndarray:
    """So many features around each of several centres that lie far apart."""
    centres = 100 * np.random.default_rng(7).standard_normal((len(counts), d))
    noise = np.random.default_rng(seed).standard_normal((sum(counts), d))
    return np.repeat(centres, counts, axis=0) + noise


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def tones(counts: list[int], *, sample_rate: int = 8000, seed: int = 0) -> torch.Tensor:
    """Half a second of noisy tones, so many of each."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(sample_rate // 2) / sample_rate
    pitch = torch.tensor(TONES).repeat_interleave(torch.tensor(counts))[:, None]
    phase = 6.28 * torch.rand(len(pitch), 1, generator=generator)
    noise = 0.01 * torch.randn(len(pitch), len(t), generator=generator)
    return 0.5 * (2 * math.pi * pitch * t + phase).sin() + noise


def test_a_dropped_mode_is_found_with_the_z_of_the_formula():
    bins = Bins.fit(clusters([250] * 4), bins=4, seed=0)
    assert bins.counts.tolist() == [250] * 4
    found = ndb(bins, clusters([100, 100, 0, 100], seed=1))
    lost = int(bins.assign(clusters([0, 0, 1, 0]))[0])
    pooled, size = 250 / 1300, 1 / 1000 + 1 / 300
    assert found.z[lost] == pytest.approx(0.25 / math.sqrt(pooled * (1 - pooled) * size))
    pooled = 350 / 1300
    other = (0.25 - 1 / 3) / math.sqrt(pooled * (1 - pooled) * size)
    assert np.delete(found.z, lost) == pytest.approx([other] * 3)
    assert other == pytest.approx(-2.85, abs=0.01)
    assert (found.different, found.bins, found.share) == (4, 4, 1.0)


def test_statistic_equals_scipy():
    bins = Bins.fit(clusters([400, 300, 200, 50, 50]), bins=5, seed=0)
    shown = clusters([100, 90, 40, 26, 4], seed=1)
    found = ndb(bins, shown)
    counts = np.bincount(bins.assign(shown), minlength=5)
    below = 0
    for i in range(5):
        table = [
            [bins.counts[i], 1000 - bins.counts[i]],
            [counts[i], len(shown) - counts[i]],
        ]
        result = chi2_contingency(table, correction=False)
        assert found.z[i] ** 2 == pytest.approx(result.statistic)
        below += result.pvalue < 0.05
    assert found.different == below == 2
    expected = jensenshannon(bins.counts / 1000, counts / len(shown)) ** 2
    assert found.jsd == pytest.approx(expected)


def test_training_clips_score_0_and_empty_bins_are_no_difference():
    train = clusters([40, 30, 20])
    bins = Bins.fit(train, bins=3, seed=0)
    same = ndb(bins, train)
    assert (same.different, same.jsd) == (0, 0)
    assert same.z.tolist() == [0, 0, 0]
    one = ndb(Bins.fit(train, bins=1, seed=0), clusters([0, 0, 5]))
    assert (one.different, one.jsd, one.z.tolist()) == (0, 0, [0])  # p = 1: nothing to divide by.
    counts = np.zeros(3, dtype=np.int64)
    counts[bins.assign(train[:1])[0]] = 90
    empty = ndb(Bins(bins.mean, bins.projection, bins.centres, counts), clusters([9, 0, 0]))
    assert (empty.different, empty.jsd, empty.z.tolist()) == (0, 0, [0, 0, 0])


def test_disjoint_histograms_reach_the_largest_divergence():
    bins = Bins.fit(clusters([30, 30]), bins=2, seed=0)
    first = int(bins.assign(clusters([1, 0]))[0])
    counts = np.zeros(2, dtype=np.int64)
    counts[first] = 60
    only = Bins(bins.mean, bins.projection, bins.centres, counts)
    assert ndb(only, clusters([0, 25])).jsd == pytest.approx(math.log(2))


def test_null_level():
    """5 % of the bins by chance, whether or not the bins were fitted to the training clips."""
    train = normal(6496, 8, seed=0)
    bins = Bins.fit(train, seed=0)
    found = [ndb(bins, normal(907, 8, seed=i)) for i in range(1, 41)]
    different = np.array([one.different for one in found])
    assert 1.5 < different.mean() < 3.5
    assert (different <= 5).mean() > 0.9
    expected = 49 / 8 * (1 / 6496 + 1 / 907)
    assert np.mean([one.jsd for one in found]) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("d", "expected"), [(8, 18), (32, 7)])
def test_a_truncated_axis_shows_less_in_wide_features(d, expected):
    bins = Bins.fit(normal(6496, d, seed=0), seed=0)
    found = []
    for seed in range(1, 11):
        x = normal(3000, d, seed=seed)
        found.append(ndb(bins, x[x[:, 0] < 0.5][:907]).different)
    assert np.mean(found) == pytest.approx(expected, abs=2.5)


def test_few_clips_find_little():
    """Why sets of one size have to be compared: half the distribution is missing here."""
    bins = Bins.fit(normal(3000, 2, seed=0), seed=0)
    half = normal(4000, 2, seed=1)
    half = half[half[:, 0] > 0]
    scores = [ndb(bins, half[:n]).different for n in (20, 200, 1500)]
    assert scores[0] < 6
    assert scores == sorted(scores)
    assert scores[-1] > 25


def test_noise_and_dropped_modes_make_it_worse():
    train = clusters([200] * 8, seed=0) / 20
    bins = Bins.fit(train, bins=16, seed=0)
    fresh = clusters([100] * 8, seed=1) / 20
    noisy = [ndb(bins, fresh + level * normal(800, 3, seed=2)) for level in (0, 3, 10)]
    dropped = [
        ndb(bins, clusters([800 // (8 - k)] * (8 - k) + [0] * k, seed=1) / 20) for k in (0, 2, 5)
    ]
    for found in (noisy, dropped):
        for key in ("different", "jsd"):
            values = [getattr(one, key) for one in found]
            assert values == sorted(values)
            assert values[0] < values[1] < values[2] or key == "different"
        assert found[0].different <= 4
        assert found[-1].different >= 10


def test_wide_features_are_projected():
    """Twelve clusters in 300 dimensions, most of which are noise."""
    train, fresh = clusters([40] * 12, d=300), clusters([10] * 12, d=300, seed=1)
    bins = Bins.fit(train, bins=12, components=11, seed=0)
    assert bins.projection.shape == (300, 11)
    np.testing.assert_allclose(bins.projection.T @ bins.projection, np.eye(11), atol=1e-9)
    assert bins.counts.tolist() == [40] * 12
    assert np.bincount(bins.assign(fresh)).tolist() == [10] * 12
    directions = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:11]
    overlap = np.linalg.svd(directions @ bins.projection, compute_uv=False)
    np.testing.assert_allclose(overlap, 1, atol=1e-6)


def test_wide_features_are_whitened_before_they_are_projected():
    """One dimension a thousand times as wide as the others, and with nothing to tell."""
    train = clusters([40] * 4, d=100)
    train[:, 0] = 1e5 * normal(160, 1, seed=3)[:, 0]
    bins = Bins.fit(train, bins=4, components=3, seed=0, whiten=True)
    assert bins.counts.tolist() == [40] * 4
    scaled = (train - train.mean(0)) / train.std(0)
    directions = np.linalg.svd(scaled, full_matrices=False)[2][:3]
    overlap = np.linalg.svd(
        directions @ (train.std(0)[:, None] * bins.projection), compute_uv=False
    )
    np.testing.assert_allclose(overlap, 1, atol=1e-6)


def test_whitening_lets_small_dimensions_count():
    generator = np.random.default_rng(0)
    small = np.repeat([-1.0, 1.0], 100) + 0.1 * generator.standard_normal(200)
    wide = 1000 * generator.uniform(-1, 1, 200)
    train = np.stack([small, wide, np.full(200, 3.0)], axis=1)
    truth = small > 0
    for whiten in (True, False):
        agreed = (Bins.fit(train, bins=2, seed=0, whiten=whiten).assign(train) == truth).mean()
        assert bool(max(agreed, 1 - agreed) == 1) is whiten
    scaled = Bins.fit(train, bins=2, seed=0, whiten=True).projection
    np.testing.assert_allclose(np.diag(scaled), [1 / small.std(), 1 / wide.std(), 0])


def test_the_nearest_centre_is_found():
    bins = Bins.fit(normal(500, 6, seed=0), bins=9, seed=0)
    x = normal(200, 6, seed=1)
    y = (x - bins.mean) @ bins.projection
    expected = [int(np.argmin([np.sum((row - c) ** 2) for c in bins.centres])) for row in y]
    assert bins.assign(x).tolist() == expected


@pytest.mark.parametrize("d", [6, 90])
def test_seed_decides_and_nothing_else(d):
    train = normal(400, d, seed=0).astype(np.float32)
    a, b, c = (Bins.fit(train, bins=10, seed=seed) for seed in (0, 0, 1))
    np.random.default_rng(3)
    assert (a.centres == b.centres).all()
    assert (a.projection == b.projection).all()
    assert not np.array_equal(a.counts, c.counts)


def test_one_thread_whatever_was_set(monkeypatch):
    """Two threads add up in any order."""
    seen = []
    fit = sklearn.cluster.KMeans.fit

    def spy(self, *arguments):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return fit(self, *arguments)

    monkeypatch.setattr(sklearn.cluster.KMeans, "fit", spy)
    with threadpool_limits(limits=2):
        Bins.fit(normal(30, 2, seed=0), bins=2, seed=0)
        after = {pool["num_threads"] for pool in threadpool_info()}
    assert seen
    assert set(seen) == {1}
    assert after == {2}


def test_spectrograms_of_clips():
    audio = tones([1, 1, 1, 1], sample_rate=16000)
    features = log_spectrogram_features(audio, sample_rate=16000)
    assert features.shape == (4, 64 * (1 + 8000 // 512))
    assert features.dtype == np.float32
    loudest = features.reshape(4, 64, -1).mean(2).argmax(1)
    assert (np.diff(loudest) > 0).all()
    alone = log_spectrogram_features(audio[2:3], sample_rate=16000)
    np.testing.assert_allclose(alone[0], features[2], atol=1e-4)
    louder = log_spectrogram_features(2 * audio[:1], sample_rate=16000)[0] - features[0]
    np.testing.assert_allclose(louder, 2 * math.log(2), atol=1e-3)
    assert log_spectrogram_features(torch.zeros(2, 16384), sample_rate=16000).shape == (2, 2112)
    assert log_spectrogram_features(torch.zeros(70, 4400), sample_rate=4400).shape[0] == 70


def test_rounding_to_16_bits_reads_as_silence():
    noise = (torch.rand(1, 16384, generator=torch.Generator().manual_seed(0)) - 0.5) / 2**15
    silence = log_spectrogram_features(torch.zeros(1, 16384), sample_rate=16000)
    assert (silence == np.float32(math.log(1e-5))).all()
    np.testing.assert_array_equal(log_spectrogram_features(noise, sample_rate=16000), silence)


def test_a_pitch_that_is_never_played_is_found():
    train = log_spectrogram_features(tones([60] * 4), sample_rate=8000)
    bins = Bins.fit(train, bins=4, seed=0)
    every, missing = (
        log_spectrogram_features(tones(counts, seed=1), sample_rate=8000)
        for counts in ([30] * 4, [40, 40, 40, 0])
    )
    assert ndb(bins, every).different == 0
    assert ndb(bins, missing).z[bins.assign(every)[-1]] > 4


def test_bad_arguments_are_named():
    x = normal(20, 3, seed=0)
    broken = x.copy()
    broken[3, 0] = np.nan
    bins = Bins.fit(x, bins=2, seed=0)
    with pytest.raises(ValueError, match="bins=5 is more than the 1 different training clips"):
        Bins.fit(np.ones((20, 3)), bins=5, seed=0)
    with pytest.raises(ValueError, match="bins=0, components=64"):
        Bins.fit(x, bins=0, seed=0)
    with pytest.raises(ValueError, match="train is not finite in 1 of 20 rows"):
        Bins.fit(broken, bins=2, seed=0)
    with pytest.raises(ValueError, match="width 2 for bins of width 3"):
        ndb(bins, x[:, :2])
    with pytest.raises(ValueError, match="0 rows"):
        ndb(bins, x[:0])
    with pytest.raises(ValueError, match="not finite"):
        bins.assign(broken)
    with pytest.raises(ValueError, match="0 clips"):
        log_spectrogram_features(torch.zeros(0, 9000), sample_rate=8000)
    with pytest.raises(ValueError, match="finite"):
        log_spectrogram_features(torch.full((1, 9000), math.inf), sample_rate=8000)

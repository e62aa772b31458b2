"""Scores of pairs and their exact test: known answers, independent references, calibrated nulls."""

from functools import cache
from itertools import permutations as orders
from math import log
from time import perf_counter

import numpy as np
import pytest
import torch
from scipy.stats import kstest, mannwhitneyu, spearmanr
from sklearn.metrics import normalized_mutual_info_score, roc_auc_score

from soundsight.data import bounce_tone_oracle as oracle
from soundsight.data.bounce_tone import BounceTone
from soundsight.data.perceived import UNKNOWN, Perceived
from soundsight.evaluation import consistency as c
from soundsight.evaluation.permutation import _every_permutation, pair_mean, permutation_test
from soundsight.media.clip import Clip, ClipSpec


def spec_of(fps):
    return ClipSpec(fps, fps, 64, 3, 16000)


@cache
def clips(fps, count, cut=(), start=0):
    return BounceTone(cut=cut).build(spec_of(fps), "test").clips(range(start, start + count))


@cache
def read(fps, count, cut=(), start=0):
    return oracle.perceive(clips(fps, count, cut, start))


def scores(perceived, fps, real=None, permutations=999, seed=0):
    return c.consistency(perceived, real, spec_of(fps), permutations=permutations, seed=seed)


def own(score, *sides):
    """A score of the true pairs, and the share of readable clips."""
    statistic, readable = score(*sides)
    return float(statistic(np.arange(len(sides[0]))[None])[0]), readable


# The test itself.


def random_table(seed, n):
    return np.random.default_rng(seed).normal(size=(n, n))


def test_p_is_uniform_under_independence():
    """Of every kind of statistic that has no ties."""
    p = {"mean": [], "rank": []}
    for seed in range(300):
        draw = np.random.default_rng(1000 + seed)
        place, pitch = draw.normal(size=(2, 20))
        pairs = {"mean": pair_mean(draw.normal(size=(20, 20)))}
        pairs["rank"] = c.pitch_place(place, pitch)[0]
        for name, statistic in pairs.items():
            p[name].append(permutation_test(statistic, 20, permutations=199, seed=seed).p)
    for values in p.values():
        assert kstest(values, "uniform").pvalue > 0.01
        assert abs(np.mean(values) - 0.5) < 0.06


def test_p_never_errs_to_the_hopeful_side_with_ties():
    """P(p <= x) <= x where scores are equal time and again."""
    p = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        seen, heard = draw.integers(0, 2, size=(2, 12))
        statistic, _ = c.class_match(seen, heard)
        p.append(permutation_test(statistic, 12, permutations=99, seed=seed).p)
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 2.5 * np.sqrt(level * (1 - level) / 400)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_clips_are_tested_by_every_pairing(n):
    table = random_table(n, n)
    every = np.array([table[range(n), order].mean() for order in orders(range(n))])
    found = permutation_test(pair_mean(table), n, seed=0)
    assert found.value == pytest.approx(np.diag(table).mean())
    assert found.p == pytest.approx((every >= found.value - 1e-12).mean())
    others = np.delete(every, 0)  # itertools gives the identity first.
    assert found.null_mean == pytest.approx(others.mean())
    assert found.null_sd == pytest.approx(others.std())


def test_over_all_pairings_of_a_few_clips_p_is_exactly_uniform():
    """Each of the 24 ways to pair four clips gets another p: 1/24, 2/24, ... 1."""
    table = random_table(9, 4)
    p = [
        permutation_test(pair_mean(table[:, list(order)]), 4, seed=0).p
        for order in orders(range(4))
    ]
    np.testing.assert_allclose(np.sort(p), np.arange(1, 25) / 24)


def test_random_pairings_agree_with_every_pairing():
    table = random_table(3, 7)
    exact = permutation_test(pair_mean(table), 7, permutations=5039, seed=0)
    drawn = permutation_test(pair_mean(table), 7, permutations=5038, seed=0)
    assert exact.p != drawn.p
    assert drawn.p == pytest.approx(exact.p, abs=0.03)
    assert drawn.null_mean == pytest.approx(exact.null_mean, abs=0.02)


def test_every_permutation_is_there_once():
    found = _every_permutation(5)
    assert found[0].tolist() == [0, 1, 2, 3, 4]
    assert set(map(tuple, found.tolist())) == set(orders(range(5)))
    assert len(found) == 120


def test_the_least_p_is_one_over_all():
    found = permutation_test(pair_mean(np.eye(50)), 50, permutations=999, seed=0)
    assert found.p == 1 / 1000
    assert found.null_mean == pytest.approx(1 / 50, abs=0.003)


def test_a_constant_score_has_p_one():
    """Whatever the order in which its numbers are added up."""
    table = np.full((30, 30), 0.1) + np.arange(30)[:, None] / 7
    assert permutation_test(pair_mean(table), 30, permutations=199, seed=0).p == 1


def test_the_seed_decides():
    first, again, other = (
        permutation_test(pair_mean(random_table(0, 20)), 20, permutations=99, seed=seed)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first.null_mean != other.null_mean


def test_groups_hide_what_they_explain():
    """The class joins place and pitch, and nothing else does: no more than the class is found."""
    draw = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 40)
    place, pitch = group + 0.1 * draw.normal(size=120), group + 0.1 * draw.normal(size=120)
    statistic, _ = c.pitch_place(place, pitch)
    free = permutation_test(statistic, 120, permutations=999, seed=0)
    within = permutation_test(statistic, 120, permutations=999, seed=0, groups=group)
    assert free.p == 0.001
    assert within.p > 0.05
    assert within.null_mean == pytest.approx(within.value, abs=0.05)

    seen = []
    permutation_test(lambda p: seen.append(p) or p[:, 0] * 1.0, 120, seed=0, groups=group)
    pairing = np.concatenate(seen)
    assert (group[pairing] == group).all()
    assert (np.sort(pairing, axis=1) == np.arange(120)).all()


def test_options_out_of_range_are_named():
    statistic = pair_mean(np.eye(5))
    with pytest.raises(ValueError, match="n=1 clips"):
        permutation_test(statistic, 1, seed=0)
    with pytest.raises(ValueError, match="permutations=0"):
        permutation_test(statistic, 5, permutations=0, seed=0)
    with pytest.raises(ValueError, match="3 groups do not fit 5 clips"):
        permutation_test(statistic, 5, seed=0, groups=np.zeros(3))


# Place and pitch.


@pytest.mark.parametrize("ties", [False, True])
def test_pitch_place_is_spearmans(ties):
    draw = np.random.default_rng(5)
    a, b = draw.normal(size=(2, 60))
    b += a
    if ties:
        a, b = np.round(a), np.round(b)
    statistic, readable = c.pitch_place(a, b)
    order = draw.permutation(60)
    found = statistic(np.stack([np.arange(60), order]))
    np.testing.assert_allclose(found, [spearmanr(a, b)[0], spearmanr(a[order], b)[0]])
    assert readable == 1


def test_unreadable_clips_cost_their_share():
    x = np.arange(40.0)
    for missing in (10, 20):
        y = x.copy()
        y[:missing] = np.nan
        rho, readable = own(c.pitch_place, y, y)
        assert rho == pytest.approx(readable) == pytest.approx(1 - missing / 40)
    rho, readable = own(c.pitch_place, np.full(40, np.nan), x)
    assert (rho, readable) == (0, 0)
    assert own(c.pitch_place, np.full(40, 0.3), x) == (0, 1)


def test_rho_of_independent_clips_is_small():
    """|ρ| < 3 / sqrt(n): of pictures of some clips with sounds of others."""
    picture, sound = read(10, 300), read(10, 200, start=300)
    rho, _ = own(c.pitch_place, picture.place[:200], sound.pitch)
    assert abs(rho) < 3 / np.sqrt(200)


# Classes.


def test_class_agreement_is_sklearns():
    draw = np.random.default_rng(2)
    seen = draw.integers(0, 4, size=80)
    heard = np.where(draw.random(80) < 0.5, seen, draw.integers(0, 6, size=80))
    statistic, readable = c.class_agreement(seen, heard)
    order = draw.permutation(80)
    found = statistic(np.stack([np.arange(80), order]))
    expected = [normalized_mutual_info_score(seen[o], heard) for o in (np.arange(80), order)]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert readable == 1


def test_class_agreement_does_not_ask_which_but_class_match_does():
    seen = np.arange(40) % 4
    assert own(c.class_agreement, seen, (seen + 1) % 4)[0] == pytest.approx(1)
    assert own(c.class_match, seen, (seen + 1) % 4)[0] == 0
    assert own(c.class_match, seen, seen)[0] == 1


def test_unknown_classes_do_not_flatter():
    """Were the unknown a class of its own, blank clips with silence would agree."""
    seen = np.arange(40) % 4
    blank = np.where(np.arange(40) < 20, UNKNOWN, seen)
    agreement, readable = own(c.class_agreement, blank, blank)
    assert agreement == pytest.approx(0.5)
    assert readable == 0.5
    assert own(c.class_match, blank, blank) == (0.5, 0.5)
    nothing = np.full(40, UNKNOWN)
    assert own(c.class_agreement, nothing, seen) == (0, 0)
    assert own(c.class_match, nothing, nothing) == (0, 0)


def test_one_class_only_agrees_with_nothing():
    assert own(c.class_agreement, np.zeros(30, int), np.arange(30) % 3)[0] == 0
    assert own(c.class_agreement, np.zeros(30, int), np.zeros(30, int))[0] == 0


# Times.


def test_event_iou_is_that_of_the_oracle_for_every_pair():
    some, fps = read(25, 40), 25
    table = c.event_iou(some.heard_times_s, some.seen_times_s, 1 / fps + 1e-9)
    for i in range(40):
        for j in range(0, 40, 7):
            pair = [some.heard_times_s[i]], [some.seen_times_s[j]]
            assert table[i, j] == pytest.approx(oracle.onset_iou(*pair, spec_of(fps)))


def most_matches(a, b, tolerance):
    """By trying everything."""
    if not a or not b:
        return 0
    rest = [
        1 + most_matches(a[1:], b[:k] + b[k + 1 :], tolerance)
        for k in range(len(b))
        if abs(a[0] - b[k]) <= tolerance
    ]
    return max([most_matches(a[1:], b, tolerance), *rest])


def test_event_iou_finds_as_many_matches_as_there_can_be():
    draw = np.random.default_rng(0)
    for _ in range(100):
        a, b = (np.sort(draw.random(draw.integers(0, 5))) for _ in range(2))
        found = c.event_iou([a], [b], 0.15)[0, 0]
        if len(a) + len(b) == 0:
            assert np.isnan(found)
        else:
            m = most_matches(list(a), list(b), 0.15)
            assert found == pytest.approx(m / (len(a) + len(b) - m))


def test_nothing_heard_and_nothing_seen_is_no_success():
    times = [np.array([0.2]), np.zeros(0)]
    value, readable = own(c.onset_iou, times, times, spec_of(10))
    assert (value, readable) == (0.5, 0.5)
    assert oracle.onset_iou(times, times, spec_of(10)) == 1  # Leaves such clips out.


@pytest.mark.parametrize(("fps", "real", "chance"), [(10, 0.811, 0.396), (25, 0.951, 0.164)])
@pytest.mark.slow
def test_iou_of_real_clips_and_of_shuffled_pairs(fps, real, chance):
    found = scores(read(fps, 300), fps)["onset_iou"]
    assert found.value == pytest.approx(real, abs=0.03)
    assert found.null_mean == pytest.approx(chance, abs=0.03)
    assert found.null_sd == pytest.approx(0.015, abs=0.006)
    assert found.p == 0.001
    assert found.readable > 0.98


def rolled(clip, seconds):
    return clip.replace(audio=torch.roll(clip.audio, round(seconds * 16000), 1))


@pytest.mark.slow
def test_onsets_agree_less_when_the_sound_is_late():
    real = read(25, 150)
    shares = [
        scores(oracle.perceive(rolled(clips(25, 150), late)), 25, real)["onset_iou"].of_real
        for late in (0.0, 0.1, 0.2)
    ]
    assert shares[0] == pytest.approx(1)
    assert max(shares[1:]) < 0.3


@pytest.mark.parametrize("late", [-0.12, 0.0, 0.08, 0.2])
def test_lag_finds_a_planted_shift(late):
    """Of a light that is switched, and clicks, at random times."""
    spec, draw = spec_of(25).with_frames(50), np.random.default_rng(1)
    video, audio = torch.zeros(6, 50, 3, 64, 64), torch.zeros(6, 32000)
    for row in range(6):
        for time in draw.choice(np.arange(8, 42), 4, replace=False) / 25:
            video[row, round(time * 25) :] = 1 - video[row, round(time * 25) :]
            start = round((time + late) * 16000)
            decay = torch.exp(-torch.arange(800) / 200) * torch.sin(torch.arange(800.0))
            audio[row, start : start + 800] += decay
    found = c.lag_s(Clip(spec, video=video, audio=audio))
    np.testing.assert_allclose(found, late)


def test_lag_of_real_clips_and_of_late_ones():
    real = read(25, 150)
    own_lag = scores(real, 25)["lag_s"]
    late = scores(oracle.perceive(rolled(clips(25, 150), 0.12)), 25, real)["lag_s"]
    assert not late.higher_is_better
    assert own_lag.value <= 0.0401
    assert own_lag.p == 0.001
    assert own_lag.null_mean > own_lag.value + 0.04
    assert late.value >= 0.0799
    assert late.real == own_lag.value


def test_still_pictures_and_silence_have_the_longest_lag():
    motion = np.random.default_rng(0).random((4, 24))
    motion[:3] = 0
    value, readable = own(c.lag, motion, motion, spec_of(25))
    assert (value, readable) == (-0.5, 0.25)
    assert np.isnan(c.lags(motion, motion, spec_of(25))).sum() == 15
    with pytest.raises(ValueError, match="at least 4"):
        c.lag_s(clips(10, 5).crop(0, 3))


# A judge's similarity.


def test_auc_is_sklearns_and_scipys():
    draw = np.random.default_rng(0)
    a, b = np.round(draw.normal(0.5, 1, 30), 1), np.round(draw.normal(size=70), 1)
    truth = np.repeat([1, 0], [30, 70])
    assert c.auc(a, b) == pytest.approx(roc_auc_score(truth, np.concatenate([a, b])))
    assert c.auc(a, b) == pytest.approx(mannwhitneyu(a, b).statistic / 2100)
    assert c.auc(np.zeros(5), np.zeros(3)) == 0.5
    with pytest.raises(ValueError, match="empty"):
        c.auc(a, np.zeros(0))
    with pytest.raises(ValueError, match="finite"):
        c.auc(a, np.array([np.nan]))


def test_retrieval_by_hand():
    similarity = np.array([[0.9, 0.8, 0.1], [0.7, 0.6, 0.2], [0.5, 0.4, 0.3]])
    # The partner is 1st, 2nd and 3rd of its row, and 1st, 2nd and 1st of its column.
    assert c.retrieval(similarity, (1, 2, 3)) == pytest.approx({1: 3 / 6, 2: 5 / 6, 3: 1.0})


def test_retrieval_of_equals_is_chance():
    assert c.retrieval(np.zeros((20, 20))) == pytest.approx({1: 0.05, 5: 0.25, 10: 0.5})
    assert c.retrieval(np.eye(20)) == {1: 1, 5: 1, 10: 1}


def test_judged_is_auc_and_retrieval():
    draw = np.random.default_rng(0)
    table = draw.normal(size=(40, 40)) + 2 * np.eye(40)
    other = ~np.eye(40, dtype=bool)
    found = c.judged(table, np.eye(40), permutations=999, seed=0)
    assert list(found) == ["auc", "recall@1", "recall@5", "recall@10"]
    assert found["auc"].value == pytest.approx(c.auc(np.diag(table), table[other]))
    assert found["auc"].null_mean == pytest.approx(0.5, abs=0.01)
    assert found["recall@5"].value == pytest.approx(c.retrieval(table)[5])
    assert found["recall@5"].null_mean == pytest.approx(5 / 40, abs=0.01)
    assert {r.p for r in found.values()} == {0.001}
    assert {r.real for r in found.values()} == {1}
    assert 0.5 < found["auc"].of_real < 1
    with pytest.raises(ValueError, match="finite"):
        c.judged(np.full((5, 5), np.nan), seed=0)


def test_judge_of_independent_clips_finds_nothing():
    p = [
        c.judged(random_table(seed, 25), permutations=99, seed=seed)["auc"].p for seed in range(100)
    ]
    assert kstest(p, "uniform").pvalue > 0.01


# Everything at once.


def test_real_clips_are_consistent():
    real = read(25, 300)
    found = scores(real, 25, real)
    assert list(found) == ["pitch_place", "class_agreement", "class_match", "onset_iou", "lag_s"]
    assert found["pitch_place"].value >= 0.99
    assert found["class_agreement"].value > 0.99
    assert found["class_match"].value > 0.99
    for result in found.values():
        assert result.p == 0.001
        assert result.of_real == pytest.approx(1)
        assert result.readable > 0.98
        assert result.n == 300


@pytest.mark.slow
def test_a_cut_coupling_falls_to_chance_and_the_others_stay():
    found = scores(read(25, 200, cut=("pitch",)), 25, read(25, 300))
    assert abs(found["pitch_place"].value) < 3 / np.sqrt(200)
    assert found["pitch_place"].p > 0.01
    assert abs(found["pitch_place"].of_real) < 0.25
    for name in ("class_agreement", "class_match", "onset_iou"):
        assert found[name].of_real > 0.95
        assert found[name].p == 0.001


@pytest.mark.slow
def test_everything_cut_is_independent():
    cut = read(25, 200, cut=("pitch", "class", "onset"))
    for result in scores(cut, 25, read(25, 300)).values():
        assert result.p > 0.005
        assert abs(result.value - result.null_mean) < 3.5 * result.null_sd
        assert abs(result.of_real) < 0.25


def test_shuffled_and_empty_clips_score_nothing():
    real = read(25, 40)
    clip = clips(25, 40)
    silent = oracle.perceive(clip.replace(audio=torch.zeros_like(clip.audio)))
    for result in scores(silent, 25, real).values():
        assert result.readable == 0
        assert result.p == 1
        assert result.of_real == pytest.approx(0, abs=1e-9)


def test_only_what_a_world_has_is_scored():
    some = read(10, 20)
    alone = Perceived(motion=some.motion, flux=some.flux)
    assert list(scores(alone, 10)) == ["lag_s"]
    result = scores(alone, 10)["lag_s"]
    assert (result.real, result.real_null_mean, result.real_p) == (None, None, None)
    assert np.isnan(result.of_real)
    assert scores(Perceived(place=some.place), 10) == {}
    assert scores(Perceived(motion=some.motion[:, :2], flux=some.flux[:, :2]), 10) == {}


def test_of_real_needs_real_clips_that_are_better_than_chance():
    fields = {"value": 0.5, "null_mean": 0.2, "null_sd": 0.1, "p": 0.01, "n": 9}
    good = c.Result(**fields, real=0.8, real_null_mean=0.2, real_p=0.01)
    assert good.of_real == pytest.approx(0.5)
    assert np.isnan(c.Result(**fields, real=0.8, real_null_mean=0.2, real_p=0.06).of_real)


def test_chance_of_class_agreement_is_as_documented():
    draw = np.random.default_rng(0)
    statistic, _ = c.class_agreement(draw.integers(0, 4, 300), draw.integers(0, 4, 300))
    found = permutation_test(statistic, 300, permutations=999, seed=0)
    assert found.null_mean == pytest.approx(9 / (2 * 300 * log(4)), rel=0.1)


def test_ten_thousand_pairings_of_300_clips_take_seconds():
    real = read(25, 300)
    start = perf_counter()
    scores(real, 25, permutations=9999)
    assert perf_counter() - start < 10  # Less than 1 s of an idle core.

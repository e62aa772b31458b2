"""Do picture and sound of a clip belong together? Scores of pairs, each beside chance.

Every score is a function of pairs alone: what is heard in clip i, what is seen in clip j. So it can
be had of the same sounds with the pictures exchanged at random, which is what chance scores, and
which tests it exactly (`permutation_test`). Chance is far from 0 for most of them. Real clips stand
beside it, as none of the scores needs to be perfect for these.

Clips that cannot be read (a black picture, silence) count as failures, never as missing.

Source: our own scores, but for Spearman's rank correlation and the normalised mutual information.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from soundsight.data.perceived import Perceived, perceive_motion
from soundsight.evaluation.permutation import (
    PermutationTest,
    Result,
    Statistic,
    beside,
    pair_mean,
    permutation_test,
)
from soundsight.media.clip import Clip, ClipSpec

__all__ = [
    "PermutationTest", "Result", "auc", "class_agreement", "class_match", "consistency",
    "event_iou", "judged", "lag", "lag_s", "lags", "onset_iou", "permutation_test", "pitch_place",
    "retrieval", "standard_ranks",
]  # fmt: skip

LONGEST_LAG_S = 0.5
"""Lags between sound and picture are looked for up to this, s."""
RANKS = (1, 5, 10)
"""A partner counts as found if it is among this many best."""


# Place and pitch.


def standard_ranks(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Ranks with mean 0 and mean square 1; equal numbers share theirs, NaN get the middle, 0.

    All are 0 where all numbers are equal, or none is finite.
    """
    ranks = np.zeros(len(x))
    told = np.isfinite(x)
    if told.any():
        _, place, count = np.unique(x[told], return_inverse=True, return_counts=True)
        ranks[told] = (np.cumsum(count) - (count - 1) / 2)[place]
        ranks[told] -= ranks[told].mean()
        ranks /= max(float(np.sqrt(np.square(ranks[told]).mean())), 1e-300)
    return ranks


def pitch_place(
    place: Float64[np.ndarray, " n"], pitch: Float64[np.ndarray, " n"]
) -> tuple[Statistic, float]:
    """Spearman's rank correlation of what is seen and what is heard.

    Unreadable clips get the middle rank: they add nothing to the sum and count in the mean, so that
    ρ is at most the share of readable clips.

    **Range/direction**: -1 to 1, higher is better. **Reference value**: 0 ± 1 / sqrt(n) for
    independent pairs; also 0 where all pictures show one place.

    Args:
        place: seen, NaN where there is none.
        pitch: heard, NaN where there is none.

    Returns:
        The statistic, and the share of readable clips.
    """
    seen, heard = standard_ranks(place), standard_ranks(pitch)
    readable = np.isfinite(place) & np.isfinite(pitch)
    return lambda pairing: seen[pairing] @ heard / len(heard), float(readable.mean())


# Classes.


def class_agreement(
    seen: Int64[np.ndarray, " n"], heard: Int64[np.ndarray, " n"]
) -> tuple[Statistic, float]:
    """Normalised mutual information of the class seen and the class heard.

    Taken over the pairs of which both classes are known, divided by the mean of their entropies,
    and multiplied by the share of such pairs. It does not ask which class goes with which:
    `class_match` does.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: above 0 for independent
    pairs, by about (k - 1)² / (2 n log k) of k classes; 0 where only one class is seen or heard.

    Args:
        seen: class of each picture, negative where it cannot be told.
        heard: class of each sound, negative where it cannot be told.

    Returns:
        The statistic, and the share of readable clips.
    """
    n, k = len(seen), int(max(seen.max(initial=0), heard.max(initial=0))) + 1

    def statistic(pairing: Int64[np.ndarray, "r n"]) -> Float64[np.ndarray, " r"]:
        other = seen[pairing]
        known = (other >= 0) & (heard >= 0)
        cell = (np.arange(len(pairing))[:, None] * k + heard) * k + other
        counts = np.bincount(cell[known], minlength=len(pairing) * k * k)
        joint = counts.reshape(-1, k, k) / np.maximum(known.sum(1), 1)[:, None, None]
        apart = _entropy(joint.sum(1)) + _entropy(joint.sum(2))
        shared = apart - _entropy(joint.reshape(-1, k * k))
        return known.mean(1) * np.where(apart > 1e-12, 2 * shared / np.maximum(apart, 1e-12), 0.0)

    return statistic, float(((seen >= 0) & (heard >= 0)).mean()) if n else 0.0


def _entropy(shares: Float64[np.ndarray, "r k"]) -> Float64[np.ndarray, " r"]:
    """In nats, of each row."""
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(1)


def class_match(
    seen: Int64[np.ndarray, " n"], heard: Int64[np.ndarray, " n"]
) -> tuple[Statistic, float]:
    """Share of the clips whose class seen is the class heard; unknown classes never are.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: 1 for real clips of the
    built-in worlds, 1 / k for independent pairs of k equally frequent classes.

    Args:
        seen: class of each picture, negative where it cannot be told.
        heard: class of each sound, of the same numbering.

    Returns:
        The statistic, and the share of readable clips.
    """
    same = (heard[:, None] == seen) & (heard >= 0)[:, None]
    return pair_mean(same.astype(np.float64)), float(((seen >= 0) & (heard >= 0)).mean())


# Times.


def event_iou(
    heard: Sequence[np.ndarray], seen: Sequence[np.ndarray], tolerance_s: float
) -> Float64[np.ndarray, "n m"]:
    """Share of events of every sound and every picture that are the same event.

    Args:
        heard: of n sounds, when something happens, s, ascending.
        seen: of m pictures, when something happens, s, ascending.
        tolerance_s: largest distance of two events that are the same, s.

    Returns:
        matches / (heard + seen - matches), in [0, 1], of every sound with every picture; events are
        matched one to one, in order, which finds as many matches as there can be. NaN where neither
        has an event.

    Example:
        >>> event_iou([np.array([0.1, 0.5])], [np.array([0.15]), np.array([])], 0.1)
        array([[0.5, 0. ]])
    """
    early, late = _padded(heard), _padded(seen)
    events = np.isfinite(early).sum(1)[:, None] + np.isfinite(late).sum(1)[None]
    matches = np.zeros(events.shape, dtype=np.int64)
    following = np.zeros(events.shape, dtype=np.int64)  # First event seen that is not used up.
    for time in early.T[:, :, None]:
        # The end of the row is padded with infinity, so that there always is a next event.
        first = (late[None] < time[..., None] - tolerance_s).sum(-1)
        candidate = np.maximum(first, following)
        there = late[np.arange(late.shape[0])[None], candidate]
        met = np.isfinite(there) & (there <= time + tolerance_s)
        matches += met
        following = candidate + met
    with np.errstate(invalid="ignore"):
        return matches / (events - matches)


def _padded(times: Sequence[np.ndarray]) -> Float64[np.ndarray, "n m"]:
    """Rows of times, filled up with infinity, at least one each."""
    most = max((len(row) for row in times), default=0) + 1
    rows = np.full((len(times), most), np.inf)
    for row, out in zip(times, rows, strict=True):
        out[: len(row)] = row
    return rows


def onset_iou(
    heard: Sequence[np.ndarray], seen: Sequence[np.ndarray], spec: ClipSpec
) -> tuple[Statistic, float]:
    """Mean share of events heard and seen that are the same event, within a frame.

    A clip in which nothing is heard and nothing seen scores 0, unlike in
    `soundsight.data.bounce_tone_oracle.onset_iou`, which this equals otherwise.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: below 1 for real clips and
    far above 0 for independent ones; give both beside it. (IoU - chance) / (real - chance) is
    `Result.of_real`.

    Args:
        heard: of n clips, when something is heard, s, ascending.
        seen: of the same clips, when something is seen, s, ascending.
        spec: its frame rate sets the tolerance, 1 / fps.

    Returns:
        The statistic, and the share of clips in which something is heard and something is seen.
    """
    table = np.nan_to_num(event_iou(heard, seen, 1 / spec.fps + 1e-9), nan=0.0)
    readable = [len(a) > 0 and len(b) > 0 for a, b in zip(heard, seen, strict=True)]
    return pair_mean(table), float(np.mean(readable))


def lags(
    motion: Float64[np.ndarray, "n k"], flux: Float64[np.ndarray, "n k"], spec: ClipSpec
) -> Float64[np.ndarray, "n n"]:
    """By how much each sound is late for each picture, s: where they correlate best.

    Args:
        motion: of n pictures, between frames, as of `motion_energy`.
        flux: of n sounds, between the same frames, as of `sound_flux`.
        spec: its frame rate counts; lags are whole frames.

    Returns:
        Of sound i with picture j; positive if the sound is late. Up to `LONGEST_LAG_S`, and to all
        but two of the intervals. The least lag of equally good ones. NaN where the picture never
        changes its motion, or the sound its flux.
    """
    steps = motion.shape[1]
    most = max(0, min(int(LONGEST_LAG_S * spec.fps + 1e-9), steps - 2))
    pictures, sounds = (x - x.mean(1, keepdims=True) for x in (motion, flux))
    best = np.full((len(flux), len(motion)), -np.inf)
    lag = np.zeros(best.shape)
    for size in range(most + 1):
        for shift in (size, -size):
            a = sounds[:, max(0, shift) : steps + min(0, shift)]
            b = pictures[:, max(0, -shift) : steps + min(0, -shift)]
            match = a @ b.T
            better = match > best + 1e-9 * np.abs(match)
            best[better] = match[better]
            lag[better] = shift / spec.fps
    lag[~_changes(flux)] = np.nan
    lag[:, ~_changes(motion)] = np.nan
    return lag


def _changes(x: Float64[np.ndarray, "n k"]) -> Bool[np.ndarray, " n"]:
    """Rows that are not constant."""
    return np.ptp(x, axis=1) > 1e-9


def lag_s(clip: Clip) -> Float64[np.ndarray, " b"]:
    """By how much the sound of each clip is late for its picture, s; NaN where nothing changes.

    Args:
        clip: b clips with video of four frames or more, and sound.

    Raises:
        ValueError: if there are fewer frames.
    """
    found = perceive_motion(clip)
    if found.motion is None or found.flux is None or found.motion.shape[1] < 3:
        raise ValueError(f"{clip.spec.frames} frames have no lag; at least 4 are needed")
    pairs = zip(found.motion, found.flux, strict=True)
    return np.array([float(lags(m[None], f[None], clip.spec)[0, 0]) for m, f in pairs])


def lag(
    motion: Float64[np.ndarray, "n k"], flux: Float64[np.ndarray, "n k"], spec: ClipSpec
) -> tuple[Statistic, float]:
    """Minus the median size of the lag between sound and picture, s, so that higher is better.

    Clips in which nothing moves or nothing sounds count with the longest lag.

    Args:
        motion: of n pictures, between frames.
        flux: of n sounds, between the same frames.
        spec: its frame rate counts.

    Returns:
        The statistic, and the share of clips with motion and sound.
    """
    table = np.nan_to_num(np.abs(lags(motion, flux, spec)), nan=LONGEST_LAG_S)
    rows = np.arange(len(table))
    readable = _changes(motion) & _changes(flux)
    return lambda pairing: -np.median(table[rows, pairing], axis=1), float(readable.mean())


# A judge's similarity.


def auc(matched: Float[np.ndarray, " i"], mismatched: Float[np.ndarray, " j"]) -> float:
    """Probability that a matched pair is more alike than a mismatched one; equal ones count half.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: 0.5 for a judge that cannot
    tell, or for independent pairs.

    Raises:
        ValueError: if either is empty or holds a NaN.
    """
    if not len(matched) or not len(mismatched):
        raise ValueError("an AUC needs matched and mismatched pairs; one of them is empty")
    both = np.concatenate([matched, mismatched]).astype(np.float64)
    if not np.isfinite(both).all():
        raise ValueError("similarities must be finite")
    i, j = len(matched), len(mismatched)
    return float((_ranks(both)[:i].sum() - i * (i + 1) / 2) / (i * j))


def _ranks(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Ranks from 1; equal numbers share the mean of theirs."""
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[place]


def retrieval(similarity: Float[np.ndarray, "n n"], ks: Sequence[int] = RANKS) -> dict[int, float]:
    """How often the partner of a sound, or of a picture, is among the k most alike of n.

    **Range/direction**: 0 to 1, higher is better. **Reference value**: k / n by chance.

    Args:
        similarity: of sound i with picture j.
        ks: how many best ones count.

    Returns:
        R@k by k, the mean of both directions. Of equally similar ones, each is as likely.
    """
    return {k: float(np.diag(_found(similarity, k)).mean()) for k in ks}


def _found(similarity: Float[np.ndarray, "n n"], k: int) -> Float64[np.ndarray, "n n"]:
    """Probability of each pair to be among the k best of its row and of its column, the mean."""
    total = np.zeros(similarity.shape)
    for table, out in ((similarity, total), (similarity.T, total.T)):
        for row, found in zip(table, out, strict=True):
            ascending = np.sort(row)
            last = np.searchsorted(ascending, row, side="right")
            equal = last - np.searchsorted(ascending, row, side="left")
            found += 0.5 * np.clip((k - (len(row) - last)) / equal, 0, 1)
    return total


def judged(
    similarity: Float[np.ndarray, "n n"],
    real: Float[np.ndarray, "m m"] | None = None,
    *,
    permutations: int = 9999,
    seed: int,
) -> dict[str, Result]:
    """What a judge of correspondence says of any clips: AUC and retrieval, tested.

    The test is exact for any judge; a bad one only finds less.

    Args:
        similarity: of sound i with picture j of n clips, by the judge.
        real: the same of m real clips. Retrieval depends on the number of clips: let m be n.
        permutations: random pairings of each test.
        seed: of the pairings.

    Returns:
        "auc" of the clips' own pairs against all others, and "recall@k" for k in `RANKS`.

    Raises:
        ValueError: if there are fewer than two clips, or a similarity is not finite.
    """
    own = _judge(similarity, permutations, seed)
    other = None if real is None else _judge(real, permutations, seed)
    return {
        name: beside(test, None if other is None else other[name], len(similarity))
        for name, test in own.items()
    }


def _judge(
    similarity: Float[np.ndarray, "n n"], permutations: int, seed: int
) -> dict[str, tuple[PermutationTest, float]]:
    n = len(similarity)
    if not np.isfinite(similarity).all():
        raise ValueError("similarities must be finite")
    table = similarity.astype(np.float64)
    statistics = {f"recall@{k}": pair_mean(_found(table, k)) for k in RANKS}
    # An AUC is the mean rank of the matched pairs among all of them, to scale.
    above = (_ranks(table.ravel()).reshape(n, n) - (n + 1) / 2) / max(n * n - n, 1)
    statistics = {"auc": pair_mean(above), **statistics}
    return {
        name: (permutation_test(statistic, n, permutations=permutations, seed=seed), 1.0)
        for name, statistic in statistics.items()
    }


# Everything at once.


def consistency(
    perceived: Perceived,
    real: Perceived | None,
    spec: ClipSpec,
    *,
    permutations: int = 9999,
    seed: int,
) -> dict[str, Result]:
    """Every score that the world has, of generated clips, beside chance and beside real ones.

    Args:
        perceived: what was read from n generated clips.
        real: what was read from real clips, best as many; None leaves their values out.
        spec: of the clips.
        permutations: random pairings of each test.
        seed: of the pairings.

    Returns:
        Some of "pitch_place" (ρ), "class_agreement" (normalised mutual information), "class_match"
        (share), "onset_iou" and "lag_s" (median size, lower is better), in this order.

    Raises:
        ValueError: if there are fewer than two clips.
    """
    found = {}
    likewise = {} if real is None else _statistics(real, spec)
    for name, (statistic, readable) in _statistics(perceived, spec).items():
        n = len(perceived)
        own = permutation_test(statistic, n, permutations=permutations, seed=seed), readable
        other = None
        if real is not None and name in likewise:
            test = permutation_test(
                likewise[name][0], len(real), permutations=permutations, seed=seed
            )
            other = test, likewise[name][1]
        found[name] = beside(own, other, n, higher_is_better=name != "lag_s")
    return found


def _statistics(perceived: Perceived, spec: ClipSpec) -> dict[str, tuple[Statistic, float]]:
    """By name, the statistics for which both sides were read, and the shares of readable clips."""
    p = perceived
    found = {}
    if p.place is not None and p.pitch is not None:
        found["pitch_place"] = pitch_place(p.place, p.pitch)
    if p.seen_class is not None and p.heard_class is not None:
        found["class_agreement"] = class_agreement(p.seen_class, p.heard_class)
        found["class_match"] = class_match(p.seen_class, p.heard_class)
    if p.seen_times_s is not None and p.heard_times_s is not None:
        found["onset_iou"] = onset_iou(p.heard_times_s, p.seen_times_s, spec)
    if p.motion is not None and p.flux is not None and p.motion.shape[1] > 2:
        found["lag_s"] = lag(p.motion, p.flux, spec)
    return found

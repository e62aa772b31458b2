"""An exact test of whether pictures and sounds belong together, and its result.

If picture and sound are made independently of each other, then exchanging the pictures among the
sounds changes nothing: the true pairs are one draw among all ways to pair them. So the share of
random pairings that score at least as well as the true one is an exact p-value, whatever is scored
and however badly.

Source: exactness with random permutations: B. Phipson and G. K. Smyth, "Permutation p-values should
never be zero", Statistical Applications in Genetics and Molecular Biology 9(1), 2010.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped

Statistic = Callable[[Int64[np.ndarray, "r n"]], Float64[np.ndarray, " r"]]
"""Scores r pairings of n clips: row k pairs sound i with the picture of clip row[i]."""
_BLOCK = 2**20  # Entries of permutations held at a time.


class PermutationTest(NamedTuple):
    """A score beside those of random pairings."""

    value: float
    """Of the true pairs."""
    null_mean: float
    """Mean over random pairings: what chance scores."""
    null_sd: float
    """Standard deviation over random pairings."""
    p: float
    """Probability of a score at least that high if picture and sound are independent, in (0, 1]."""


@dataclass(frozen=True)
class Result:
    """One score of generated clips, beside chance and beside real clips."""

    value: float
    """Of the clips."""
    null_mean: float
    """Mean over random pairings of the same pictures and sounds."""
    null_sd: float
    """Standard deviation over random pairings."""
    p: float
    """Probability of a score at least as good if picture and sound are independent, in (0, 1]."""
    n: int
    """Number of clips."""
    readable: float = 1.0
    """Share of the clips that could be read on both sides, 0 to 1; the others count as failures."""
    real: float | None = None
    """The score of real clips."""
    real_null_mean: float | None = None
    """Its mean over random pairings."""
    real_p: float | None = None
    """Its p."""
    higher_is_better: bool = True

    @property
    def of_real(self) -> float:
        """How far the score is from chance, as a share of how far real clips are.

        **Range/direction**: 0 for independent picture and sound, 1 like real clips, higher is
        better; may lie outside. NaN without real clips, and where real clips are no better than
        chance (p > 0.05).
        """
        if self.real is None or self.real_null_mean is None or self.real_p is None:
            return float("nan")
        if self.real_p > 0.05 or self.real == self.real_null_mean:
            return float("nan")
        return (self.value - self.null_mean) / (self.real - self.real_null_mean)


def permutation_test(
    statistic: Statistic,
    n: int,
    *,
    permutations: int = 9999,
    seed: int,
    groups: Shaped[np.ndarray, " n"] | None = None,
) -> PermutationTest:
    """Is the score of the true pairs higher than that of random pairings?

    Args:
        statistic: scores pairings, shape (r, n), of n clips: (r,). It sees a block of them at once.
        n: number of clips.
        permutations: random pairings R. Where there are no more than that in all (7 clips of 9,999)
            every one is tried, once.
        seed: of the pairings.
        groups: a group of each clip: sounds are exchanged within groups only, which tests whether
            more is joined than the group.

    Returns:
        The score, its mean and deviation over the pairings, and p = (1 + #{null >= value}) /
        (1 + R), one-sided. For independent pairs P(p <= x) <= x, exactly.

    Raises:
        ValueError: if there are fewer than two clips or no permutations, or groups do not fit.

    Example:
        >>> score = np.eye(5)
        >>> found = permutation_test(lambda p: score[np.arange(5), p].mean(1), 5, seed=0)
        >>> found.value, round(found.null_mean, 2), found.p == 1 / 120
        (1.0, 0.19, True)
    """
    if n < 2:
        raise ValueError(f"n={n} clips cannot be exchanged; at least 2 are needed")
    if permutations < 1:
        raise ValueError(f"permutations={permutations} must be at least 1, such as 9999")
    if groups is not None and len(groups) != n:
        raise ValueError(f"{len(groups)} groups do not fit {n} clips")
    value = float(statistic(np.arange(n, dtype=np.int64)[None])[0])
    if groups is None and n <= 12 and factorial(n) - 1 <= permutations:
        null = statistic(_every_permutation(n)[1:])
    else:
        null = _random_null(statistic, n, permutations, seed, groups)
    # Sums of the same numbers in another order may differ in the last digits: those are ties.
    as_good = int((null >= value - 1e-9 * max(1.0, abs(value))).sum())
    return PermutationTest(
        value, float(null.mean()), float(null.std()), (1 + as_good) / (1 + len(null))
    )


def _random_null(
    statistic: Statistic,
    n: int,
    permutations: int,
    seed: int,
    groups: Shaped[np.ndarray, " n"] | None,
) -> Float64[np.ndarray, " r"]:
    """Scores of random pairings, a bounded block at a time."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(n, dtype=np.int64)
    if groups is not None:
        labels = np.unique(groups, return_inverse=True)[1]
    members = [np.nonzero(labels == label)[0] for label in range(labels.max() + 1)]
    rows = max(1, _BLOCK // n)
    null = []
    for start in range(0, permutations, rows):
        count = min(rows, permutations - start)
        pairing = np.empty((count, n), dtype=np.int64)
        for some in members:
            pairing[:, some] = generator.permuted(np.tile(some, (count, 1)), axis=1)
        null.append(statistic(pairing))
    return np.concatenate(null)


def _every_permutation(n: int) -> Int64[np.ndarray, "r n"]:
    """All orders of 0 to n - 1, beginning with the ascending one."""
    orders = np.zeros((1, 1), dtype=np.int64)
    for k in range(1, n):
        orders = np.concatenate([np.insert(orders, at, k, axis=1) for at in range(k, -1, -1)])
    return orders


def pair_mean(scores: Float64[np.ndarray, "n n"]) -> Statistic:
    """The mean score of the pairs, of a table of all of them.

    Args:
        scores: of sound i with picture j, shape (n, n).
    """
    sounds = np.arange(len(scores))
    return lambda pairing: scores[sounds, pairing].mean(1)


def beside(
    own: tuple[PermutationTest, float],
    real: tuple[PermutationTest, float] | None,
    n: int,
    *,
    higher_is_better: bool = True,
) -> Result:
    """A test of generated clips beside that of real ones.

    Args:
        own: the test of n generated clips, and the share of them that could be read.
        real: the same of real clips.
        n: number of generated clips.
        higher_is_better: False turns the signs round: the statistic was minus what is reported.
    """
    sign = 1 if higher_is_better else -1
    test, readable = own
    return Result(
        value=sign * test.value,
        null_mean=sign * test.null_mean,
        null_sd=test.null_sd,
        p=test.p,
        n=n,
        readable=readable,
        real=None if real is None else sign * real[0].value,
        real_null_mean=None if real is None else sign * real[0].null_mean,
        real_p=None if real is None else real[0].p,
        higher_is_better=higher_is_better,
    )

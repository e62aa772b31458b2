"""Confidence intervals over clips, by the percentile bootstrap.

The clip is the unit: frames and samples of one clip depend on each other, so they are averaged
first and only the clips are resampled. All randomness comes from the seed, and all columns of one
call share the same resamples, which keeps differences between columns paired.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Interval(NamedTuple):
    """A mean with its confidence interval."""

    value: float
    """Mean over the clips."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""
    n: int
    """Number of clips."""


def bootstrap(
    values: Float[np.ndarray, " n"],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of per-clip values, with its percentile bootstrap interval.

    Args:
        values: one number per clip, shape (n,).
        seed: seed of the resampling.
        confidence: probability that the interval covers the true mean, in (0, 1).
        resamples: number of bootstrap resamples.

    Returns:
        Mean, interval and n. With one clip, or constant values, the interval has no width.

    Raises:
        ValueError: if there are no values, one is not finite, or an option is out of range.

    Source:
        Efron and Tibshirani 1993, chapter 13.
    """
    columns = bootstrap_columns(
        values[:, None], seed=seed, confidence=confidence, resamples=resamples
    )
    return columns[0]


def bootstrap_difference(
    a: Float[np.ndarray, " n"],
    b: Float[np.ndarray, " n"],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean of a - b over the same clips: paired, so what makes a clip hard cancels out.

    Args:
        a: one number per clip, shape (n,).
        b: the other's numbers for the same clips in the same order, shape (n,).
        seed: seed of the resampling.
        confidence: probability that the interval covers the true difference, in (0, 1).
        resamples: number of bootstrap resamples.

    Returns:
        Mean difference, its interval and n; a is better (for a metric where higher is) if low > 0.

    Raises:
        ValueError: as `bootstrap`.
    """
    return bootstrap(a - b, seed=seed, confidence=confidence, resamples=resamples)


def bootstrap_columns(
    values: Float[np.ndarray, "n m"],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> list[Interval]:
    """`bootstrap` of every column, all over the same resamples of the clips.

    Args:
        values: one row per clip, one column per quantity, shape (n, m).
        seed: seed of the resampling.
        confidence: probability that an interval covers its true mean, in (0, 1).
        resamples: number of bootstrap resamples.

    Returns:
        m intervals.

    Raises:
        ValueError: as `bootstrap`.
    """
    _check(values, confidence, resamples)
    n = len(values)
    centre = values.mean(0)
    # Deviations, so that the interval of constant values has exactly no width.
    deviations = values - centre
    means = np.concatenate([w @ deviations for w in _weights(n, seed, resamples)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, (tail, 1 - tail), axis=0)
    return [
        Interval(float(value), float(value + below), float(value + above), n)
        for value, below, above in zip(centre, low, high, strict=True)
    ]


def _weights(n: int, seed: int, resamples: int) -> Iterator[np.ndarray]:
    """Shares of the clips in each resample, (r, n) each summing to 1, a bounded block at a time."""
    generator = np.random.default_rng(seed)
    step = max(1, 2**22 // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        yield generator.multinomial(n, np.full(n, 1 / n), size=rows) / n


def _check(values: np.ndarray, confidence: float, resamples: int) -> None:
    if len(values) == 0:
        raise ValueError("no values: an interval needs at least one clip")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite; clamp an infinite PSNR to PSNR_CAP_DB first")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence={confidence} must lie between 0 and 1, such as 0.95")
    if resamples < 1:
        raise ValueError(f"resamples={resamples} must be at least 1")

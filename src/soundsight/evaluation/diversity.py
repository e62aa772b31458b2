"""How different the K futures of one clip are, and what drawing more of them buys.

A useful stochastic forecaster shows both: its samples differ (low pairwise SSIM) and the best of
them comes closer to the truth as K grows. Noise alone lowers the first without raising the second.
"""

import math
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from soundsight.evaluation.image import ssim

ALL_PAIRS_UP_TO = 20
"""Largest K for which every pair is compared."""
NUM_PAIRS = 500
"""Number of random pairs compared beyond that."""


def pairs(num_samples: int, *, seed: int) -> Int64[np.ndarray, "m 2"]:
    """Which samples are compared with each other.

    Args:
        num_samples: K, at least 2.
        seed: seed of the choice of pairs, used beyond K = `ALL_PAIRS_UP_TO`.

    Returns:
        Different pairs i < j, shape (m, 2): all of them, or `NUM_PAIRS` distinct random ones.

    Raises:
        ValueError: if there are fewer than two samples.
    """
    if num_samples < 2:
        raise ValueError(f"num_samples={num_samples}: pairs need at least 2 samples")
    every = np.array(list(combinations(range(num_samples), 2)), dtype=np.int64)
    if num_samples <= ALL_PAIRS_UP_TO or len(every) <= NUM_PAIRS:
        return every
    chosen = np.random.default_rng(seed).choice(len(every), NUM_PAIRS, replace=False)
    return every[np.sort(chosen)]


def pairwise_ssim(
    samples: Float[Tensor, "b s t c h w"], *, data_range: float, seed: int
) -> Float64[Tensor, " b"]:
    """Mean SSIM between the samples of one clip at equal time.

    Args:
        samples: K futures of each clip, shape (b, K, t, c, h, w).
        data_range: as for `ssim`.
        seed: seed of the choice of pairs.

    Returns:
        Mean over pairs and frames, shape (b,).

    Raises:
        ValueError: if there are fewer than two samples or the frames are smaller than 7 pixels.

    Range/direction: -1 to 1, lower is more diverse.
    Reference value: K copies of one future score 1.
    """
    chosen = torch.from_numpy(pairs(samples.shape[1], seed=seed)).to(samples.device)
    step = max(1, 2**26 // max(1, math.prod(samples.shape[2:])))  # Bounds the copies made below.
    rows = []
    for clip in samples:
        scores = [
            ssim(clip[p[:, 0]], clip[p[:, 1]], data_range=data_range).flatten()
            for p in chosen.split(step)
        ]
        rows.append(torch.cat(scores).mean())
    return torch.stack(rows)


def best_of_curve(scores: Float64[np.ndarray, "n s"]) -> Float64[np.ndarray, "n s"]:
    """Score of the best of k samples, expected over which k of the K are drawn.

    Exact, by order statistics: among k of K samples the i-th smallest is the largest with
    probability C(i-1, k-1) / C(K, k). So the curve does not depend on the order of the samples,
    never falls, starts at the mean and ends at the maximum.

    Args:
        scores: one score per sample, higher is better, shape (n, K).

    Returns:
        Column k-1 holds the expected best of k, shape (n, K).
    """
    total = scores.shape[1]
    ranked = np.sort(scores, axis=1)
    weights = np.array(
        [
            [math.comb(i - 1, k - 1) / math.comb(total, k) for k in range(1, total + 1)]
            for i in range(1, total + 1)
        ]
    )
    return ranked @ weights

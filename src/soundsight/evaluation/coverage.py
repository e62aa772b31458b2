"""Are generated clips where real ones are, everywhere that real ones are, and not copies of them?

Precision and density ask the first, recall and coverage the second, all through distances to the
k-th nearest neighbour; `memorization` asks the third, which none of the others nor FID can tell: a
generator that stores its training clips scores perfectly on them all.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from soundsight.evaluation.frechet import check_features

_BLOCK = 1024
"""Rows of a matrix of distances held at a time."""


class PRDC(NamedTuple):
    """Precision and recall, density and coverage."""

    precision: float
    """Share of fake features within reach of a real one's neighbours."""
    recall: float
    """Share of real features within reach of a fake one's neighbours."""
    density: float
    """How many real neighbourhoods a fake feature lies in, over the neighbours k."""
    coverage: float
    """Share of real features whose neighbourhood holds a fake one."""


class Nearest(NamedTuple):
    """The training clip nearest to each clip."""

    rows: Int64[np.ndarray, " m"]
    """Its row in the training features."""
    distances: Float64[np.ndarray, " m"]
    """How far it is, in units of the features."""


class Memorization(NamedTuple):
    """Whether generated clips are closer to the training clips than new real clips are."""

    auc: float
    """Share of pairs (generated, held-out) whose generated clip is the nearer; 0.5: no memory."""
    copies: float
    """Share of generated clips that are nearer than every held-out one."""
    z: float
    """The AUC's distance from 0.5 in standard deviations of its null distribution."""
    generated: Nearest
    """Nearest training clip of each generated clip."""
    held_out: Nearest
    """Nearest training clip of each held-out clip."""


def prdc(
    real: Float[np.ndarray, "n d"], fake: Float[np.ndarray, "m e"], *, neighbours: int = 5
) -> PRDC:
    """Precision, recall, density and coverage.

    The neighbourhood of a feature is the closed ball around it that reaches to its k-th nearest
    other feature of the same set. Precision: fake features in any real neighbourhood. Recall: real
    features in any fake one. Density: real neighbourhoods per fake feature, over k. Coverage: real
    neighbourhoods with any fake feature.

    Precision and recall trust a single outlier, whose ball is huge; density and coverage average
    over all balls and only need the real ones. All change with n, m and k: compare equal ones.

    Args:
        real: features of real clips, shape (n, d).
        fake: features of generated ones, shape (m, d), of the same extractor.
        neighbours: k, less than n and m.

    Returns:
        The four numbers.

    Raises:
        ValueError: if the widths differ, a feature is not finite, or k is out of range.

    Source:
        Kynkäänniemi et al., "Improved precision and recall metric for assessing generative models",
        NeurIPS 2019, equations 1 and 2; Naeem et al., "Reliable fidelity and diversity metrics for
        generative models", ICML 2020, section 3.

    Range/direction: density 0 to n / k, the others 0 to 1; higher is better. Density above 1 is no
        merit: fake features crowd where real ones are dense.
    Reference value: identical sets score 1, 1, (k + 1) / k, 1; sets far apart 0. Two samples of one
        distribution score a density of 1 and a coverage of `coverage_null` on average (0.969 for k
        = 5 and n = m), whatever the distribution; their precision and recall depend on it: 0.73 for
        standard normal features, d = 64, n = m = 1000, k = 5.
    """
    x, y = _check_pair(("real", real), ("fake", fake))
    if not 1 <= neighbours < min(len(x), len(y)):
        raise ValueError(
            f"neighbours={neighbours} must lie between 1 and the clips of the smaller set less "
            f"one, {min(len(x), len(y)) - 1}"
        )
    radius_x, radius_y = _radii(x, neighbours), _radii(y, neighbours)
    balls = torch.zeros(len(y))  # Real neighbourhoods that each fake feature lies in.
    recalled, covered = [], []
    for rows, reach in zip(x.split(_BLOCK), radius_x.split(_BLOCK), strict=True):
        distance = _distances(rows, y)
        inside = distance <= reach[:, None]
        balls += inside.sum(0)
        covered.append(inside.any(1))
        recalled.append((distance <= radius_y).any(1))
    return PRDC(
        precision=float((balls > 0).double().mean()),
        recall=float(torch.cat(recalled).double().mean()),
        density=float(balls.double().mean() / neighbours),
        coverage=float(torch.cat(covered).double().mean()),
    )


def coverage_null(num_real: int, num_fake: int, *, neighbours: int = 5) -> float:
    """Coverage to expect of two samples of one continuous distribution, whichever it is.

    1 - Π_{i=1..k} (n - i) / (n + m - i), about 1 - 2^-k for n = m.

    Args:
        num_real: n, the real features.
        num_fake: m, the generated ones.
        neighbours: k, at least 1 and less than n.

    Returns:
        The expected coverage.

    Raises:
        ValueError: if k is out of range.

    Source:
        Naeem et al., "Reliable fidelity and diversity metrics for generative models", ICML 2020,
        lemma 2.

    Range/direction: 0 to 1; a coverage near it is as good as real clips'.
    Reference value: k = 5, n = m = 1000: 0.969.

    Example:
        >>> round(coverage_null(1000, 1000), 3)
        0.969
    """
    if not 1 <= neighbours < num_real:
        raise ValueError(f"neighbours={neighbours} must lie between 1 and {num_real - 1}")
    missed = 1.0
    for i in range(1, neighbours + 1):
        missed *= (num_real - i) / (num_real + num_fake - i)
    return 1 - missed


def nearest(train: Float[np.ndarray, "n d"], x: Float[np.ndarray, "m e"]) -> Nearest:
    """The training clip nearest to each clip, by Euclidean distance of features.

    Args:
        train: features of the training clips, shape (n, d).
        x: features of the clips in question, shape (m, d), of the same extractor.

    Returns:
        Row and distance for each clip, shapes (m,); of equally near ones the first.

    Raises:
        ValueError: if a set is empty, the widths differ, or a feature is not finite.

    Range/direction: distances 0 to inf; neither direction is good in itself, see `memorization`.
    Reference value: a training clip is at distance 0 from itself, exactly.
    """
    return _nearest(("train", train), ("x", x))


def memorization(
    train: Float[np.ndarray, "n d"],
    held_out: Float[np.ndarray, "h e"],
    generated: Float[np.ndarray, "m f"],
) -> Memorization:
    """Are generated clips closer to the training clips than real clips never trained on?

    Each clip is measured by its distance to the nearest training clip, and the two sets are
    compared by the Mann-Whitney statistic. Read both ends: an AUC far below 0.5 does not praise,
    it says that the clips are unlike all training clips. One far above 0.5 with few `copies` is a
    generator that stays where training clips are dense. A few copies among good clips hardly move
    the AUC, but show in `copies`.

    Args:
        train: features of the training clips, shape (n, d).
        held_out: features of real clips of the same sources that were not trained on, shape (h, d).
        generated: features of the generated clips, shape (m, d).

    Returns:
        AUC, share of copies, and the distances they come from.

    Raises:
        ValueError: if a set is empty, the widths differ, or a feature is not finite.

    Source:
        Meehan, Chaudhuri and Dasgupta, "A non-parametric test to detect data-copying in generative
        models", AISTATS 2020, over a single cell and with the opposite sign of z.

    Range/direction: AUC 0 to 1, best at 0.5; copies 0 to 1, lower is better.
    Reference value: copies of training clips score 1 and 1. Other held-out real clips score 0.5 and
        1 / (h + 1) on average; the AUC's standard deviation is sqrt((m + h + 1) / (12 m h)), 0.013
        for 1000 each.
    """
    far = _nearest(("train", train), ("held_out", held_out))
    near = _nearest(("train", train), ("generated", generated))
    h, m = len(far.distances), len(near.distances)
    ranked = np.sort(far.distances)
    below, upto = (np.searchsorted(ranked, near.distances, side) for side in ("left", "right"))
    auc = float(1 - (below + upto).mean() / (2 * h))  # A tie counts half.
    copies = float((near.distances < ranked[0]).mean())
    z = (auc - 0.5) / ((m + h + 1) / (12 * m * h)) ** 0.5
    return Memorization(auc, copies, z, generated=near, held_out=far)


def _nearest(train: tuple[str, np.ndarray], x: tuple[str, np.ndarray]) -> Nearest:
    a, b = _check_pair(train, x)
    parts = [_distances(block, a).min(1) for block in b.split(_BLOCK)]
    distances, rows = (torch.cat(column) for column in zip(*parts, strict=True))
    return Nearest(rows.numpy(), distances.numpy())


def _radii(x: Tensor, neighbours: int) -> Float64[Tensor, " n"]:
    """Distance from each feature to its k-th nearest other one."""
    parts = []
    for start, rows in zip(range(0, len(x), _BLOCK), x.split(_BLOCK), strict=True):
        distance = _distances(rows, x)
        distance[torch.arange(len(rows)), torch.arange(start, start + len(rows))] = torch.inf
        parts.append(distance.topk(neighbours, dim=1, largest=False).values[:, -1])
    return torch.cat(parts)


def _distances(x: Tensor, y: Tensor) -> Float64[Tensor, "i j"]:
    """Differences, not |x|² + |y|² - 2 x·y, which makes a copy lie 1e-7 away from itself."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _check_pair(x: tuple[str, np.ndarray], y: tuple[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    """Two sets as float64 tensors, if they can be compared."""
    a, b = (check_features(name, torch.tensor(v), at_least=1) for name, v in (x, y))
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{x[0]} is {a.shape[1]} wide and {y[0]} {b.shape[1]}: they must be of one extractor"
        )
    return a, b

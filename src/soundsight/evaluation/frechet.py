"""Distances between two sets of features: Fréchet (FID, FVD, FAD) and kernel (KID, KVD).

What the features are is the caller's business: Inception-v3 makes the first FID and the second KID,
I3D makes them FVD and KVD, a sound classifier FAD. All arithmetic is float64 on the CPU.

The Fréchet distance is biased: two samples of one distribution lie apart, the more the fewer clips
and the wider the features (`frechet_null` says how far). The kernel distance is not. So print both,
and beside them what real clips score against other real clips of the same number.
"""

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

_BLOCK = 2048
"""Rows of a kernel matrix held at a time: 32 MiB."""


class Moments:
    """Mean and covariance of features that arrive batch by batch.

    The same, up to rounding, for every division into batches; features of 10⁸ with a spread of 1
    lose nothing, because every batch is centered before it is squared.

    Source:
        Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
        variances", 1979.

    Example:
        >>> moments = Moments()
        >>> moments.add(torch.tensor([[0.0], [2.0]]))
        >>> moments.add(torch.tensor([[4.0]]))
        >>> moments.count, moments.mean.tolist(), moments.covariance.tolist()
        (3, [2.0], [[4.0]])
    """

    def __init__(self) -> None:
        self.count = 0
        """Number of features added so far."""
        self._mean = torch.zeros(0, dtype=torch.float64)
        self._scatter = torch.zeros(0, 0, dtype=torch.float64)

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Take in a batch.

        Args:
            features: one row per clip, shape (n, d); d as of the first batch.

        Raises:
            ValueError: if the width differs from the first batch's, or a value is not finite.
        """
        x = check_features("features", features, at_least=0)
        if not self.count:
            self._mean = torch.zeros(x.shape[1], dtype=torch.float64)
            self._scatter = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        if x.shape[1] != len(self._mean):
            raise ValueError(
                f"features of width {x.shape[1]} after ones of width {len(self._mean)}: all "
                "batches must come from one extractor"
            )
        if not len(x):
            return
        total = self.count + len(x)
        mean = x.mean(0)
        step = mean - self._mean
        centered = x - mean
        self._scatter += centered.T @ centered
        self._scatter += torch.outer(step, step) * (self.count * len(x) / total)
        self._mean = self._mean + step * (len(x) / total)
        self.count = total

    @property
    def mean(self) -> Float64[Tensor, " d"]:
        """Mean over the features.

        Raises:
            ValueError: if there are none.
        """
        self._need(1)
        return self._mean

    @property
    def covariance(self) -> Float64[Tensor, "d d"]:
        """Unbiased covariance (divided by n - 1); of rank n - 1 at most.

        Raises:
            ValueError: if there are fewer than two features.
        """
        self._need(2)
        return self._scatter / (self.count - 1)

    def _need(self, count: int) -> None:
        if self.count < count:
            raise ValueError(f"{self.count} features: at least {count} are needed")


def frechet_distance(x: Float[Tensor, "n d"], y: Float[Tensor, "m e"]) -> float:
    """Fréchet distance of the normal distributions with the moments of two sets of features.

    |μ_x - μ_y|² + Tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½), with unbiased covariances. Fewer features than
    dimensions (n <= d) make a covariance singular, which is handled: the distance is then still the
    one of those (flat) normal distributions, but its null value is of the size of Tr Σ, so compare
    nothing but sets of one size.

    Args:
        x: features of one set, shape (n, d).
        y: features of the other, shape (m, d), of the same extractor.

    Returns:
        The squared distance, in squared units of the features, as FID is usually printed.

    Raises:
        ValueError: if the widths differ, a set has fewer than two features, or one is not finite.

    Source:
        Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
        equilibrium", NeurIPS 2017, equation 6; Dowson and Landau 1982.

    Range/direction: 0 to inf, lower is better.
    Reference value: identical sets score 0. Two samples of one standard normal distribution do not:
        2.4 (d = 64) and 9.4 (d = 128) with 907 features each, 11 and 43 with 200; see
        `frechet_null`.
    """
    moments = Moments(), Moments()
    for part, features in zip(moments, (x, y), strict=True):
        part.add(features)
    return frechet_from_moments(*moments)


def frechet_from_moments(x: Moments, y: Moments) -> float:
    """`frechet_distance` of two sets of which only the moments are kept.

    Tr (Σ_x Σ_y)^½ is the sum of the singular values of Σ_x^½ Σ_y^½, with symmetric roots from
    eigenvalues: no square root of a matrix that is not symmetric, whose iteration is slow and may
    fail when a covariance is singular.

    Args:
        x: moments of one set.
        y: moments of the other.

    Returns:
        The squared distance.

    Raises:
        ValueError: if the widths differ or a set has fewer than two features.

    Range/direction: 0 to inf, lower is better.
    Reference value: as `frechet_distance`.
    """
    roots = _root(x.covariance), _root(y.covariance)
    _check_widths(x.mean, y.mean)
    trace = torch.trace(x.covariance) + torch.trace(y.covariance)
    overlap = torch.linalg.svdvals(roots[0] @ roots[1]).sum()
    distance = (x.mean - y.mean).square().sum() + trace - 2 * overlap
    return max(0.0, float(distance))  # Rounding may leave -1e-13 of identical sets.


def frechet_null(covariance: Float[Tensor, "d d"], n: int, m: int) -> float:
    """What two samples of one normal distribution are expected to score: FID's bias.

    (1/n + 1/m) (Tr Σ + ½ Σ_ij (1 + δ_ij) λ_i λ_j / (λ_i + λ_j)) with λ the eigenvalues of Σ: the
    second order of the distance in the errors of the moments. Good to a few per cent where n and
    m are several times d; beyond that it says too much. Real features are not normal, so take it
    for the size of what to expect, and real against real for the value.

    Args:
        covariance: Σ, of the real features, shape (d, d).
        n: number of features of one set, at least 2.
        m: number of features of the other.

    Returns:
        The expected squared distance.

    Raises:
        ValueError: if n or m is less than 2, or an entry is not finite.

    Range/direction: 0 to inf; a score near it is as good as this many clips can tell.
    Reference value: Σ = 1 of width 64 with n = m = 907: 2.43; of width 128: 9.38.

    Example:
        >>> round(frechet_null(torch.eye(64), 907, 907), 2)
        2.43
    """
    if min(n, m) < 2:
        raise ValueError(f"n={n}, m={m}: at least 2 features of each set are needed")
    values = torch.linalg.eigvalsh(check_features("covariance", covariance, at_least=1)).clamp(
        min=0
    )
    sums = values[:, None] + values
    products = torch.outer(values, values)
    terms = torch.where(sums > 0, products / sums.clamp(min=1e-300), 0.0)
    spread = 0.5 * (terms.sum() + torch.trace(terms))
    return float((1 / n + 1 / m) * (values.sum() + spread))


def kernel_distance(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "m e"],
    *,
    degree: int = 3,
    gamma: float | None = None,
    coef0: float = 1.0,
    subsets: int | None = None,
    subset_size: int = 1000,
    seed: int | None = None,
) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (γ x·y + c)^degree.

    The features are taken as they are: centering them first, as some programs do, hides a
    difference of the means.

    Args:
        x: features of one set, shape (n, d).
        y: features of the other, shape (m, d), of the same extractor.
        degree: exponent of the kernel, at least 1.
        gamma: γ; None: 1/d.
        coef0: c.
        subsets: None: use all features, which has the least variance. A number: the mean over that
            many random subsets of each set, as published KID tables do (100 of 1000).
        subset_size: features of a subset, drawn without replacement; at most n and m.
        seed: seed of the subsets; needed with `subsets`.

    Returns:
        The squared discrepancy. KID is often printed times 1000; this is not.

    Raises:
        ValueError: if the widths differ, a set has fewer than two features, one is not finite, or
            an option is out of range.

    Source:
        Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4; Gretton et al. 2012,
        equation 3.

    Range/direction: -inf to inf around a true value of at least 0; lower is better.
    Reference value: two samples of one distribution score 0 on average, and below 0 half of the
        time (sd 0.001 for standard normal features, d = 64, n = 907). A set against itself scores
        below 0, by 2/n times what k(x, x) exceeds k(x, x') by: copied clips show.
    """
    x, y = (check_features(name, v, at_least=2) for name, v in (("x", x), ("y", y)))
    _check_widths(x[0], y[0])
    if degree < 1:
        raise ValueError(f"degree={degree} must be at least 1; KID uses 3")
    kernel = (degree, 1 / x.shape[1] if gamma is None else gamma, coef0)
    if subsets is None:
        return _mmd(x, y, kernel)
    if subsets < 1 or seed is None:
        raise ValueError(f"subsets={subsets}, seed={seed}: at least 1 subset and a seed are needed")
    if not 2 <= subset_size <= min(len(x), len(y)):
        raise ValueError(
            f"subset_size={subset_size} must lie between 2 and the number of features, "
            f"{min(len(x), len(y))}"
        )
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(subsets):
        rows = [generator.choice(len(v), subset_size, replace=False) for v in (x, y)]
        values.append(_mmd(x[rows[0]], y[rows[1]], kernel))
    return float(np.mean(values))


def check_features(name: str, x: Float[Tensor, "n d"], *, at_least: int) -> Float64[Tensor, "n d"]:
    """Features as float64 on the CPU, if they are fit to be compared.

    Args:
        name: what to call them in a message.
        x: features, shape (n, d).
        at_least: smallest n allowed.

    Returns:
        The same values, float64, without gradient.

    Raises:
        ValueError: if there are fewer rows, no columns, or a value is not finite.
    """
    if len(x) < at_least or x.shape[1] == 0:
        raise ValueError(
            f"{name} has {len(x)} rows and {x.shape[1]} columns: at least {at_least} and 1 are "
            "needed"
        )
    if not torch.isfinite(x).all():
        bad = int((~torch.isfinite(x)).any(1).sum())
        raise ValueError(f"{name} is not finite in {bad} of {len(x)} rows")
    return x.detach().to("cpu", torch.float64)


def _check_widths(x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise ValueError(f"features of widths {len(x)} and {len(y)}: they must be of one extractor")


def _root(covariance: Tensor) -> Tensor:
    """The symmetric square root.

    Eigenvalues within rounding of 0 are 0: the root of 1e-16 is 1e-8, and a flat covariance has
    hundreds of them.
    """
    values, vectors = torch.linalg.eigh(covariance)
    floor = len(values) * torch.finfo(values.dtype).eps * values[-1]
    return (vectors * values.where(values > floor, 0.0).sqrt()) @ vectors.T


def _mmd(x: Tensor, y: Tensor, kernel: tuple[int, float, float]) -> float:
    """The U-statistic: means over pairs of different features of one set, and over all of two."""
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x, kernel) - _kernel_trace(x, kernel)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y, kernel) - _kernel_trace(y, kernel)) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel_sum(x, y, kernel) / (n * m)


def _kernel_sum(x: Tensor, y: Tensor, kernel: tuple[int, float, float]) -> float:
    """Sum of k(x_i, y_j) over all i and j, one block of the matrix at a time."""
    degree, gamma, coef0 = kernel
    return sum(
        float((gamma * (a @ b.T) + coef0).pow(degree).sum())
        for a in x.split(_BLOCK)
        for b in y.split(_BLOCK)
    )


def _kernel_trace(x: Tensor, kernel: tuple[int, float, float]) -> float:
    degree, gamma, coef0 = kernel
    return float((gamma * x.square().sum(1) + coef0).pow(degree).sum())

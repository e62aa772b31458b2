"""Scores of a classifier's probabilities on generated clips: Inception Score and pitch entropy.

Neither looks at real clips, so neither can say that generated ones are like them: a generator that
leaves the classifier's domain may score far above real data. Print the real clips' value beside
each, and read the difference from it.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from summing to 1."""


class Score(NamedTuple):
    """A score over several splits of the clips."""

    mean: float
    """Mean over the splits."""
    sd: float
    """Standard deviation over the splits (divided by their number, as published)."""


class PitchEntropy(NamedTuple):
    """The two quantities that have been called pitch entropy, nats."""

    per_sample: float
    """Mean over the clips of H(p(pitch | clip)): how uncertain one clip's pitch is; lower is
    clearer."""
    marginal: float
    """H of the mean over the clips of p(pitch | clip): how many pitches occur; higher is more
    varied."""


def inception_score(probabilities: Float[Tensor, "n k"], *, splits: int = 10, seed: int) -> Score:
    """Inception Score: exp of the mean over clips of KL(p(y|x) ‖ p(y)).

    The clips are permuted, divided into splits of equal size (but for one clip), and p(y) is each
    split's own mean. The fewer clips a split has, the lower it scores: compare equal n and splits.

    Args:
        probabilities: p(y|x) of k classes, one row per clip, shape (n, k). Rows sum to 1; what
            float32 leaves of that is divided out.
        splits: number of splits, at most n.
        seed: seed of the permutation.

    Returns:
        Mean and standard deviation over the splits.

    Raises:
        ValueError: if a row is no distribution, or there are fewer clips than splits.

    Source:
        Salimans et al., "Improved techniques for training GANs", NeurIPS 2016, section 4.

    Range/direction: 1 to min(k, clips of a split). Higher is called better, but the goal is the
        real clips' value: more than that is a sign of artefacts, not of quality.
    Reference value: the same probabilities for every clip score 1; certain classes, equally
        frequent, k. Drawn at random with m clips a split these score about k (1 - (k - 1) / (2m)):
        with k = 10 and m = 100, 9.55.

    Example:
        >>> inception_score(torch.eye(4).repeat(5, 1), splits=1, seed=0)
        Score(mean=4.0, sd=0.0)
    """
    p = _distributions(probabilities)
    if not 1 <= splits <= len(p):
        raise ValueError(f"splits={splits} must lie between 1 and the number of clips, {len(p)}")
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(p)))
    scores = []
    for part in p[order].tensor_split(splits):
        divergence = _entropy(part.mean(0)) - _entropy(part).mean()
        scores.append(min(max(math.exp(float(divergence)), 1.0), float(p.shape[1])))
    return Score(float(np.mean(scores)), float(np.std(scores)))


def pitch_entropy(probabilities: Float[Tensor, "n k"]) -> PitchEntropy:
    """Entropy of pitch, in both senses that are in use.

    The first alone is flattered by one clear note repeated for ever, the second alone by noise.
    Their difference is the information that a clip carries about its pitch: the logarithm of the
    Inception Score over a single split.

    Args:
        probabilities: p(pitch|clip) over k pitches, one row per clip, shape (n, k).

    Returns:
        Mean of the entropies and entropy of the mean, nats.

    Raises:
        ValueError: if there is no clip or a row is no distribution.

    Source:
        Engel et al., "GANSynth", ICLR 2019, section 4 (per sample); Kurmi et al., ICASSP 2021,
        table 3, calls a quantity of unstated definition by the same name.

    Range/direction: both 0 to ln k (4.11 for 61 pitches), per_sample <= marginal; per_sample lower
        and marginal higher is better, up to the real clips' value.
    Reference value: certain pitches, equally frequent, score (0, ln k); the uniform distribution
        for every clip (ln k, ln k); one certain pitch for every clip (0, 0).
    """
    p = _distributions(probabilities)
    return PitchEntropy(float(_entropy(p).mean()), float(_entropy(p.mean(0))))


def _entropy(p: Float64[Tensor, "*n k"]) -> Float64[Tensor, "*n"]:
    """Shannon entropy over the last axis, nats, with 0 ln 0 = 0."""
    return torch.special.entr(p).sum(-1)


def _distributions(p: Float[Tensor, "n k"]) -> Float64[Tensor, "n k"]:
    """Rows in float64 that sum to 1 exactly, if they nearly did."""
    n, k = p.shape
    if n == 0 or k == 0:
        raise ValueError(f"probabilities of {n} clips over {k} classes: at least 1 is needed")
    p = p.detach().to("cpu", torch.float64)
    if not torch.isfinite(p).all() or (p < 0).any():
        raise ValueError("probabilities must be finite and not negative; pass softmax(logits)")
    total = p.sum(1, keepdim=True)
    worst = float((total - 1).abs().max())
    if worst > SUM_TOLERANCE:
        raise ValueError(
            f"a row of probabilities sums to 1 only within {worst:.2g}; {SUM_TOLERANCE:g} is "
            "allowed: pass softmax(logits)"
        )
    return p / total

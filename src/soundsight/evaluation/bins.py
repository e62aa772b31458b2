"""NDB: in how many regions of the training data the generated clips are too many or too few.

K-means divides the training clips into bins; generated clips are counted in them. A bin is
different if a test of two proportions says so. Unlike FID this finds dropped modes one by one.
"""

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from soundsight.media.spectrogram import mel_spectrogram

SPECTROGRAM_WINDOW_S = 0.064
"""Length of a window of `log_spectrogram_features`, seconds; rounded to a power of two samples."""
SPECTROGRAM_MELS = 64
"""Mel bins of `log_spectrogram_features`."""
LEVEL = 0.05
"""A bin is different if the two-sided p of its test is below this."""

_CLIPS = 64
"""Clips whose spectrograms are made at a time."""


@dataclass(frozen=True)
class NDB:
    """How a set of clips is spread over the bins of the training clips."""

    different: int
    """Number of statistically different bins; lower is better."""
    bins: int
    """Number of bins k."""
    jsd: float
    """Jensen-Shannon divergence of the two histograms, nats: 0 to ln 2, lower is better."""
    z: Float64[np.ndarray, " k"]
    """Test statistic of each bin: above 0 where generated clips are too few, below where many."""

    @property
    def share(self) -> float:
        """Different bins over all bins, 0 to 1: NDB/k."""
        return self.different / self.bins


@dataclass(frozen=True)
class Bins:
    """Regions of the feature space, and how many training clips lie in each."""

    mean: Float64[np.ndarray, " d"]
    """Subtracted from the features."""
    projection: Float64[np.ndarray, "d c"]
    """Whitening and principal components: what centered features are multiplied with."""
    centres: Float64[np.ndarray, "k c"]
    """Centres of the bins; a clip belongs to the nearest."""
    counts: Int64[np.ndarray, " k"]
    """Training clips in each bin."""

    @classmethod
    def fit(
        cls,
        train: Float[np.ndarray, "n d"],
        *,
        bins: int = 50,
        components: int = 64,
        seed: int,
        whiten: bool = False,
    ) -> "Bins":
        """Divide training features into bins.

        The same seed gives the same bins, whatever the number of processors: it runs on one thread.

        Args:
            train: features of the training clips, shape (n, d), n at least `bins`.
            bins: number of bins k.
            components: principal components kept, where d is larger.
            seed: seed of the components and of K-means.
            whiten: whether to divide every dimension by its standard deviation first.

        Returns:
            The bins.

        Raises:
            ValueError: if there are fewer different clips than bins, a value is not finite, or an
                option is out of range.

        Source:
            Richardson and Weiss, "On GANs and GMMs", NeurIPS 2018. Differs: principal
            components instead of a random choice of dimensions.
        """
        # scikit-learn is imported late: it takes a second. It brings threadpoolctl along.
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        if bins < 1 or components < 1:
            raise ValueError(f"bins={bins}, components={components}: both must be at least 1")
        x = _check("train", train).astype(np.float64)
        different = len({row.tobytes() for row in x})
        if different < bins:
            raise ValueError(f"bins={bins} is more than the {different} different training clips")
        # Threads would add up in any order, and a clip between two centres would change sides.
        with threadpool_limits(limits=1):
            mean = x.mean(0)
            projection = _projection(x - mean, min(components, len(x) - 1), seed, whiten)
            centres = _centres((x - mean) @ projection, bins, seed)
        fitted = cls(mean, projection, centres, np.zeros(bins, dtype=np.int64))
        return replace(fitted, counts=np.bincount(fitted.assign(x), minlength=bins))

    def assign(self, x: Float[np.ndarray, "n e"]) -> Int64[np.ndarray, " n"]:
        """The bin of each clip.

        Args:
            x: features, shape (n, d), made as those of the training clips.

        Returns:
            Index of the nearest centre, 0 to k - 1, shape (n,).

        Raises:
            ValueError: if the width is another than the training features', there is no clip, or
                a value is not finite.
        """
        x = _check("x", x)
        if x.shape[1] != len(self.mean):
            raise ValueError(
                f"features of width {x.shape[1]} for bins of width {len(self.mean)}: they must be "
                "made the same way"
            )
        y = (x - self.mean) @ self.projection
        distances = (self.centres**2).sum(1) - 2 * (y @ self.centres.T)
        return distances.argmin(1).astype(np.int64)


def ndb(bins: Bins, x: Float[np.ndarray, "n d"]) -> NDB:
    """Number of statistically different bins.

    In each bin the share p₁ of the n₁ training clips is tested against the share p₂ of the n₂ given
    ones: z = (p₁ - p₂) / sqrt(p (1 - p) (1/n₁ + 1/n₂)), p the share of all. Different means a
    two-sided p-value below `LEVEL`; a bin that is empty, or holds everything, in both is not.

    A test of few clips finds little, so NDB flatters small samples: compare equal n₂, and print the
    value of as many held-out real clips. It also flatters wide features without structure: of
    normal features that lack the upper 31 % of one axis it finds about 18 bins of 50 different in 8
    dimensions, and about 7 in 32 (n₁ = 6496, n₂ = 907).

    Args:
        bins: fitted on the training clips.
        x: features of the clips to judge, shape (n₂, d).

    Returns:
        The number of different bins, the divergence of the histograms, and every z.

    Raises:
        ValueError: as `Bins.assign`.

    Source:
        Richardson and Weiss, "On GANs and GMMs", NeurIPS 2018.

    Range/direction: 0 to k, lower is better; the divergence 0 to ln 2 = 0.693 nats.
    Reference value: the training clips themselves score 0 and 0. Held-out clips of the same
        distribution, though: 0.05 k bins by chance (of 50, nine times in ten 0 to 5), and a
        divergence of about (k - 1) (1/n₁ + 1/n₂) / 8: 0.008 for k = 50, n₁ = 6496, n₂ = 907.
    """
    counts = np.bincount(bins.assign(x), minlength=len(bins.counts))
    n1, n2 = int(bins.counts.sum()), len(x)
    p1, p2 = bins.counts / n1, counts / n2
    p = (bins.counts + counts) / (n1 + n2)
    error = np.sqrt(p * (1 - p) * (1 / n1 + 1 / n2))
    z = np.divide(p1 - p2, error, out=np.zeros_like(p), where=error > 0)
    critical = NormalDist().inv_cdf(1 - LEVEL / 2)
    return NDB(int((np.abs(z) > critical).sum()), len(p), _divergence(p1, p2), z)


def log_spectrogram_features(
    audio: Float[Tensor, "b n"], *, sample_rate: int
) -> Float32[np.ndarray, "b d"]:
    """Log-mel spectrograms as feature vectors, for `Bins`.

    Args:
        audio: waveforms in [-1, 1], shape (b, n).
        sample_rate: Hz.

    Returns:
        Natural logarithm of mel power, 64 mels by 1 + n // hop windows of 64 ms, half overlapping,
        flattened: shape (b, d); d = 2112 for 16384 samples at 16 kHz (32 windows and one). The
        floor of 1e-5 lies above the rounding noise of 16-bit sound, so both read as silence.

    Raises:
        ValueError: if there is no sound, it is shorter than half a window, or a sample is not
            finite.

    Source:
        Engel et al., "GANSynth", ICLR 2019, section 4, counts bins in log-spectrogram space.
        Differs: mels, which weigh an octave like the next.
    """
    if not len(audio) or not torch.isfinite(audio).all():
        raise ValueError(f"audio of {len(audio)} clips: at least 1 of finite samples is needed")
    n_fft = 2 ** round(math.log2(SPECTROGRAM_WINDOW_S * sample_rate))
    rows = [
        mel_spectrogram(
            part, sample_rate=sample_rate, n_fft=n_fft, hop_length=n_fft // 2,
            n_mels=SPECTROGRAM_MELS,
        ).flatten(1)
        for part in audio.detach().split(_CLIPS)
    ]  # fmt: skip
    return torch.cat(rows).cpu().numpy()


def _projection(centered: np.ndarray, components: int, seed: int, whiten: bool) -> np.ndarray:
    """Columns of whitened principal directions, (d, c); the scaled axes where d is small."""
    from sklearn.decomposition import PCA

    deviations = centered.std(0)
    scale = np.ones(len(deviations))
    if whiten:  # A dimension that never varies stays at 0 rather than being divided by it.
        scale = np.divide(1, deviations, out=np.zeros_like(deviations), where=deviations > 0)
    if len(scale) <= components:
        return np.diag(scale)
    solver = PCA(components, svd_solver="randomized", random_state=seed)
    return scale[:, None] * solver.fit(centered * scale).components_.T


def _centres(x: np.ndarray, bins: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    return KMeans(bins, n_init=3, max_iter=100, random_state=seed).fit(x).cluster_centers_


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence, nats, with 0 ln 0 = 0."""
    middle = (p + q) / 2
    terms = [a[a > 0] @ np.log(a[a > 0] / middle[a > 0]) for a in (p, q)]
    return max(0.0, float(sum(terms)) / 2)


def _check(name: str, x: np.ndarray) -> np.ndarray:
    if 0 in x.shape:
        raise ValueError(f"{name} has {len(x)} rows and {x.shape[1]} columns: 1 of each is needed")
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise ValueError(f"{name} is not finite in {bad} of {len(x)} rows")
    return x

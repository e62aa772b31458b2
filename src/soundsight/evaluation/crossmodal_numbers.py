"""Numbers of cross-modal scores: means over recordings, ranks, partners and halves."""

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from soundsight.evaluation.consistency import standard_ranks
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.evaluation.intervals import Interval
from soundsight.evaluation.judging import JudgeProtocol, Statistic, bootstrap_statistic

NONE = float("nan")
"""Of an interval that makes no sense."""


class Sources:
    """Means over clips with intervals over the recordings that the clips were cut from.

    Clips of one recording resemble each other: a thousand of ten recordings say little more than
    ten. So whole recordings are drawn in the bootstrap, each with all its clips.
    """

    def __init__(self, sources: Int64[np.ndarray, " n"], protocol: CrossmodalProtocol) -> None:
        self.count, self._place = 0, np.zeros(0, np.int64)
        if len(sources):
            found, self._place = np.unique(sources, return_inverse=True)
            self.count = len(found)
        self._drawing = JudgeProtocol(
            seed=protocol.seed, confidence=protocol.confidence, resamples=protocol.resamples
        )

    def _sums(self, values: Float64[np.ndarray, "n m"]) -> Float64[np.ndarray, "s m"]:
        sums = np.zeros((self.count, values.shape[1]))
        np.add.at(sums, self._place, values)
        return sums

    def share(
        self, part: Float64[np.ndarray, "n m"], whole: Float64[np.ndarray, "n m"]
    ) -> Interval:
        """Mean over the columns that have a whole of the sum of parts over the sum of wholes.

        Args:
            part: of each clip and column, such as right answers by class.
            whole: what it is a part of, such as answers.

        Returns:
            The mean, its interval, NaN for a single recording, and the number of clips.
        """
        parts, wholes = self._sums(part), self._sums(whole)

        def statistic(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
            a, b = weights @ parts, weights @ wholes
            there = b > 0
            shares = np.divide(a, b, out=np.zeros_like(a), where=there)
            return shares.sum(1) / np.maximum(there.sum(1), 1)

        return self._interval(statistic, int((whole.sum(1) > 0).sum()))

    def _interval(self, statistic: Statistic, n: int) -> Interval:
        if self.count < 2:
            value = float(statistic(np.ones((1, self.count)))[0])
            return Interval(value, NONE, NONE, n)
        return bootstrap_statistic(statistic, self.count, self._drawing)._replace(n=n)

    def correlation(self, x: Float64[np.ndarray, " n"], y: Float64[np.ndarray, " n"]) -> Interval:
        """Mean product of two sets of ranks.

        Args:
            x: ranks of mean 0 and mean square 1 at most, as `ranks_within` makes them.
            y: others of the same clips.

        Returns:
            The mean of x y, and an interval of the correlation, scaled alike, so that it lies in
            [-1, 1]; ranks are not taken anew in each resample.
        """
        columns = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], axis=1)
        sums, scale = self._sums(columns), float(np.sqrt((x * x).mean() * (y * y).mean()))

        def statistic(weights: Float64[np.ndarray, "r s"]) -> Float64[np.ndarray, " r"]:
            total = weights @ sums
            mean_x, mean_y, product, square_x, square_y = (total[:, 1:] / total[:, :1]).T
            spread = (square_x - mean_x**2) * (square_y - mean_y**2)
            apart = np.sqrt(np.maximum(spread, 1e-24))
            return scale * (product - mean_x * mean_y) / apart

        return self._interval(statistic, len(x))

    def mean(self, values: Float[np.ndarray, " n"]) -> Interval:
        """Mean over the clips."""
        column = values.astype(np.float64)[:, None]
        return self.share(column, np.ones_like(column))


def found_among(
    similarity: Float[np.ndarray, "m n"], own: Int64[np.ndarray, " m"], k: int
) -> Float64[np.ndarray, " m"]:
    """Probability that each row's own column is among its k greatest; equal ones are as likely.

    Example:
        >>> found_among(np.array([[0.9, 0.1, 0.9]]), np.array([0]), 1)
        array([0.5])
    """
    mine = np.take_along_axis(similarity, own[:, None], 1)
    above, equal = (similarity > mine).sum(1), (similarity == mine).sum(1)
    return np.clip((k - above) / equal, 0.0, 1.0)


def beaten_share(
    similarity: Float[np.ndarray, "m n"], own: Int64[np.ndarray, " m"]
) -> Float64[np.ndarray, " m"]:
    """Share of the other columns that are less than each row's own one; equal ones count half.

    Its mean is the AUC of own against other columns, row by row.
    """
    mine = np.take_along_axis(similarity, own[:, None], 1)
    below, equal = (similarity < mine).sum(1), (similarity == mine).sum(1) - 1
    return (below + 0.5 * equal) / (similarity.shape[1] - 1)


def ranks_within(
    x: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """`standard_ranks` within each group; a group of one has the rank 0."""
    ranks = np.zeros(len(x))
    for group in np.unique(groups):
        ranks[groups == group] = standard_ranks(x[groups == group])
    return ranks


def same_class_partner(
    labels: Int64[np.ndarray, " n"], sources: Int64[np.ndarray, " n"], *, seed: int
) -> Int64[np.ndarray, " n"]:
    """Another clip of each clip's class, drawn at random; -1 where there is none.

    It is of another recording, unless all clips of the class are of one.
    """
    generator = np.random.default_rng((seed, 3))
    partner = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            for one in members:
                others = members[sources[members] != sources[one]]
                if not len(others):
                    others = members[members != one]
                partner[one] = generator.choice(others)
    return partner


def other_class_partner(labels: Int64[np.ndarray, " n"], *, seed: int) -> Int64[np.ndarray, " n"]:
    """A clip of another class for each clip, -1 where none is left; no clip is used twice.

    All clips have one unless a class has more than half of them, and then each class is given as
    often as it is there: a model that does not listen scores the same with these. Which class is
    given for which is drawn, too.
    """
    if not len(labels):
        return np.zeros(0, np.int64)
    _, group, count = np.unique(labels, return_inverse=True, return_counts=True)
    generator = np.random.default_rng((seed, 2))
    order = generator.permutation(len(labels))
    rank = generator.permutation(len(count))[group]
    order = order[np.argsort(rank[order], kind="stable")]
    partner = np.empty(len(labels), np.int64)
    partner[order] = np.roll(order, -int(count.max()))
    return np.where(labels[partner] != labels, partner, -1)


def halves_of_recordings(
    sources: Int64[np.ndarray, " n"], *, seed: int
) -> tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Two halves of the clips that share no recording: clips of one may be exact copies.

    Args:
        sources: number of the recording of each clip.
        seed: of the choice of the recordings.

    Returns:
        Which clips are of either half; the first is empty if there is one recording alone.
    """
    found, place = np.unique(sources, return_inverse=True)
    drawn = np.random.default_rng((seed, 4)).permutation(len(found)) < len(found) // 2
    half = drawn[place]
    return half, ~half


def one_hot(labels: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, "n k"]:
    """A row for each label, 1 in its column and 0 elsewhere."""
    return np.eye(int(labels.max()) + 1)[labels]

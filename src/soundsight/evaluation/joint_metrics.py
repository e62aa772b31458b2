"""Scores of generated clips, made from what judges read in them.

Every function gives the rows of one name. Real clips that nobody generated are scored in the same
way, as the row "real": a score means something only beside it.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from soundsight.evaluation.align import aligned
from soundsight.evaluation.bins import Bins, ndb
from soundsight.evaluation.consistency import consistency, judged
from soundsight.evaluation.coverage import memorization, prdc
from soundsight.evaluation.frechet import frechet_distance, kernel_distance
from soundsight.evaluation.inception import inception_score, pitch_entropy
from soundsight.evaluation.intervals import bootstrap
from soundsight.evaluation.joint_readings import Reader, Readings
from soundsight.evaluation.joint_scores import P_VALUE, REAL, REPAIRED, JointProtocol
from soundsight.evaluation.permutation import Result
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.clip import ClipSpec

KERNEL = {"audio": "kid_audio", "image": "kid_image", "video": "kernel_video"}
"""What the kernel distance is called, by what is looked at."""
SPLITS = 10
"""Parts of the clips behind an inception score, if they have `SPLIT_CLIPS` each."""
SPLIT_CLIPS = 10
NEIGHBOURS = 5
"""Neighbours that bound what is near (precision and its kin)."""
COVERED = 0.1
"""A class counts as covered if it is at least this share as frequent as among real clips."""
BY_JUDGE = ("auc", "recall@")
"""Beginnings of the scores by the judge of correspondence, who has an opinion of every clip."""
NONE = float("nan")
"""Of an interval that makes no sense."""


@dataclass(frozen=True)
class Real:
    """Real clips, as generated ones are compared with them."""

    test: Readings
    """What is compared with."""
    other: Readings
    """Other real clips, scored as if they had been generated."""
    train: Readings
    bins: Bins | None
    """Of the training clips' sounds; None if these are all the same."""


class Scorer:
    """Makes the rows of one name after the other."""

    def __init__(
        self, real: Real, everyone: Sequence[Reader], protocol: JointProtocol, spec: ClipSpec
    ) -> None:
        self.real, self.everyone, self.protocol, self.spec = real, everyone, protocol, spec
        self.real_belonging = self.belonging(real.test, {})

    def real_rows(self) -> Iterator[Row]:
        """All rows of the real clips."""
        return self._rows(REAL, self.real.test, self.real.other, self.real_belonging)

    def rows(self, name: str, made: Readings) -> Iterator[Row]:
        """All rows of a model.

        Args:
            name: of the model.
            made: what was read in its clips.
        """
        return self._rows(name, made, made, self.belonging(made, self.real_belonging))

    def _rows(
        self, name: str, made: Readings, other: Readings, results: Mapping[str, Result]
    ) -> Iterator[Row]:
        """All rows of one name; distances of real clips are those of other real clips."""
        yield from self._sound(name, made)
        yield from self._distances(name, other)
        yield from self._inception(name, made)
        yield from self._belonging(name, results)
        yield from self._variety(name, other)
        yield from self._classes(name, made)

    def _row(
        self,
        name: str,
        metric: str,
        value: float | int,
        n: int,
        low: float = NONE,
        high: float = NONE,
    ) -> Row:
        seed = self.protocol.seed
        return Row(name, metric, NO_RULE, None, float(value), float(low), float(high), n, seed)

    def _mean(self, name: str, metric: str, values: np.ndarray) -> Row:
        """A mean over clips, with its interval."""
        p = self.protocol
        found = bootstrap(values, seed=p.seed, confidence=p.confidence, resamples=p.resamples)
        return self._row(name, metric, found.value, found.n, found.low, found.high)

    # Sound.

    def _sound(self, name: str, made: Readings) -> Iterator[Row]:
        """Bins of spectrograms, and entropies of the pitch."""
        if self.real.bins is not None:
            different = ndb(self.real.bins, made.spectra)
            yield self._row(name, "ndb", different.different, made.count)
            yield self._row(name, "ndb_jsd", different.jsd, made.count)
        if "pitch" in made.probabilities:
            shares = torch.from_numpy(made.probabilities["pitch"])
            each = np.array([pitch_entropy(row[None]).per_sample for row in shares])
            yield self._mean(name, "pitch_entropy_sample", each)
            marginal = pitch_entropy(shares).marginal
            yield self._row(name, "pitch_entropy_marginal", marginal, made.count)

    # Any part.

    def _distances(self, name: str, made: Readings) -> Iterator[Row]:
        """Fréchet and kernel distances from the real clips, by everyone who tells no pitch."""
        for reader in self.everyone:
            if reader.key == "pitch":
                continue
            part = reader.judged.part
            x, y = (torch.from_numpy(s.features[reader.key]) for s in (self.real.test, made))
            yield self._row(name, _named(f"frechet_{part}", reader), frechet_distance(x, y), len(y))
            yield self._row(name, _named(KERNEL[part], reader), kernel_distance(x, y), len(y))

    def _inception(self, name: str, made: Readings) -> Iterator[Row]:
        """Inception scores; the interval is the deviation over parts of the clips."""
        for reader in self.everyone:
            if reader.key == "pitch" or reader.key not in made.probabilities:
                continue
            shares = torch.from_numpy(made.probabilities[reader.key])
            splits = max(1, min(SPLITS, len(shares) // SPLIT_CLIPS))
            mean, sd = inception_score(shares, splits=splits, seed=self.protocol.seed)
            low, high = (mean - sd, mean + sd) if splits > 1 else (NONE, NONE)
            metric = _named(f"inception_{reader.judged.part}", reader)
            yield self._row(name, metric, mean, len(shares), low, high)

    # Belonging together.

    def belonging(self, made: Readings, real: Mapping[str, Result]) -> dict[str, Result]:
        """Every test of whether picture and sound belong together.

        Args:
            made: what was read in the clips.
            real: the same of real clips, whose values are put beside.

        Returns:
            By the name of the score.
        """
        options = {"permutations": self.protocol.permutations, "seed": self.protocol.seed}
        found: dict[str, Result] = {}
        if made.perceived is not None:
            found |= consistency(made.perceived, None, self.spec, **options)
        if made.embeddings is not None:
            sounds, pictures = made.embeddings
            found |= judged(sounds @ pictures.T, None, **options)
        if made.peaks is not None:
            found["av_align"] = aligned(made.peaks, None, self.spec.fps, **options)
        return {
            key: dataclasses.replace(
                one, real=real[key].value, real_null_mean=real[key].null_mean, real_p=real[key].p
            )
            if key in real
            else one
            for key, one in found.items()
        }

    def _belonging(self, name: str, results: Mapping[str, Result]) -> Iterator[Row]:
        """Each score, its p-value, how many clips could be read, and what re-paired clips score."""
        for key, one in results.items():
            yield self._row(name, key, one.value, one.n)
            yield self._row(name, key + P_VALUE, one.p, one.n)
            if np.isfinite(one.of_real):
                yield self._row(name, f"{key}_of_real", one.of_real, one.n)
            if not key.startswith(BY_JUDGE):
                readable = np.arange(one.n) < round(one.readable * one.n)
                yield self._mean(name, f"{key}_readable", readable.astype(np.float64))
            low, high = one.null_mean - one.null_sd, one.null_mean + one.null_sd
            yield self._row(name + REPAIRED, key, one.null_mean, one.n, low, high)

    # Variety.

    def _variety(self, name: str, made: Readings) -> Iterator[Row]:
        """How much of the real clips' variety is there, and whether it was learned by heart."""
        for part, key in _own(self.everyone).items():
            if key not in made.features:
                continue
            test, train = self.real.test.features[key], self.real.train.features[key]
            ours = made.features[key]
            near = min(NEIGHBOURS, len(test) - 1, len(ours) - 1)
            for word, value in prdc(test, ours, neighbours=near)._asdict().items():
                yield self._row(name, f"{word}_{part}", value, len(ours))
            if name == REAL:  # Training clips may stand in for them; those would be copies.
                test, ours = test[::2], test[1::2]
            learned = memorization(train, test, ours)
            yield self._row(name, f"memory_{part}", learned.auc, len(ours))
            yield self._row(name, f"copies_{part}", learned.copies, len(ours))

    def _classes(self, name: str, made: Readings) -> Iterator[Row]:
        """Number of the real clips' classes that are found."""
        for part, key in _own(self.everyone).items():
            if key in made.probabilities:
                real = _class_shares(self.real.test.probabilities[key])
                ours = _class_shares(made.probabilities[key])
                covered = int(((real > 0) & (ours >= COVERED * real)).sum())
                yield self._row(name, f"classes_{part}", covered, made.count)


def _named(metric: str, reader: Reader) -> str:
    """A metric says which published network it is by; our judges are the same for all."""
    return metric + (reader.key if reader.key.startswith("[") else "")


def _own(everyone: Sequence[Reader]) -> dict[str, str]:
    """Our judges of sound and of video by what they look at."""
    return {r.judged.part: r.key for r in everyone if r.key in ("sound", "video")}


def _class_shares(probabilities: Float32[np.ndarray, "n k"]) -> np.ndarray:
    """How frequent each class is among the likeliest ones."""
    n, k = probabilities.shape
    return np.bincount(probabilities.argmax(1), minlength=k) / n

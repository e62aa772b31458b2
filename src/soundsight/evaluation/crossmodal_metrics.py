"""Scores of pictures made from sounds, and of sounds made from pictures; a row for each number.

Metrics, after "image_" or "sound_" (what was made):

- `accuracy`: share of outputs whose class, by the judge, is the pair's label; `accuracy_macro`: the
  mean of it over the classes, so that a rare class counts as much as a frequent one;
  `accuracy_class_NN`: of one class; `accuracy_train`, `accuracy_macro_train`: of training pairs;
  `accuracy_read`: of the first outputs, by the world's own reader of clips (`perceive`).
- `recall@1`, `@5`, `@10`: share of outputs whose true partner, the given clip, is among the k most
  alike of all n, by the judge of correspondence; `auc`: probability that it is more alike than
  another one. Of equally alike ones each is as likely.
- `pitch_place`: rank correlation of the pitch heard and the place seen, of an output and its given
  partner; `pitch_place_in_class`: of ranks within the classes, exchanged within them alone, the
  place read as the pair's class shows it.
- `pitch_near`: share of sounds whose pitch, by the judge of pitch, is at most a semitone off the
  real sound's. A sound without a pitch is wrong; pairs whose real one has none are left out.
- `frechet`, `kid`: distances of features from those of real clips, of halves of the pairs that
  share no recording.
- `diversity`: mean distance of a pair's K outputs from each other, by the judge's features, and
  `diversity_raw`, by pixels or log-mels; for real clips, of two of one class.
- `memory`, `copies`: see `coverage.memorization`.
- `classifier[V-A]` and so on, without what was made: accuracy of a model's own classifier.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64

from soundsight.evaluation.consistency import RANKS, permutation_test
from soundsight.evaluation.coverage import memorization
from soundsight.evaluation.crossmodal_numbers import (
    NONE,
    Sources,
    beaten_share,
    found_among,
    halves_of_recordings,
    one_hot,
    ranks_within,
    same_class_partner,
)
from soundsight.evaluation.crossmodal_readings import Direction, Readings, mean_distance
from soundsight.evaluation.crossmodal_scores import (
    CHANCE,
    CLASS,
    MAJORITY,
    SHUFFLED,
    CrossmodalProtocol,
)
from soundsight.evaluation.frechet import frechet_distance, kernel_distance
from soundsight.evaluation.intervals import Interval
from soundsight.evaluation.joint_readings import PITCH, Reader
from soundsight.evaluation.joint_scores import P_VALUE, REAL
from soundsight.evaluation.scores import NO_RULE, Row

DIGITS = 5
"""Decimals of similarities: those that differ by less are equal; rounding errors decide nothing."""
EVEN = 1e-6
"""Probabilities that differ by less tell nothing."""


class Scorer:
    """Makes the rows of what was made in one direction."""

    def __init__(
        self,
        direction: Direction,
        real: Readings,
        train: Readings | None,
        everyone: Sequence[Reader],
        protocol: CrossmodalProtocol,
    ) -> None:
        self.role, self.real, self.train = direction.role, real, train
        self.everyone, self.protocol = everyone, protocol
        n = len(real)
        self.everywhere = np.arange(n)
        self.halves = halves_of_recordings(real.sources, seed=protocol.seed)
        self.told = len(np.unique(real.labels[real.labels >= 0])) > 1

    def _row(self, name: str, metric: str, found: Interval) -> Row:
        return Row(name, f"{self.role}_{metric}", NO_RULE, None, *found, self.protocol.seed)

    def _plain(self, name: str, metric: str, value: float, n: int) -> Row:
        return self._row(name, metric, Interval(float(value), NONE, NONE, n))

    def rows(self, name: str, made: Readings, places: Int64[np.ndarray, " m"]) -> Iterator[Row]:
        """All rows of one name.

        Args:
            name: of a model, or of its shuffled double.
            made: what was read in its outputs.
            places: of which of the real pairs they are.
        """
        yield from self._accuracy(name, made)
        yield from self._read_class(name, made)
        yield from self._partners(name, made, places)
        yield from self._pitch(name, made, places)
        if not name.endswith(SHUFFLED):
            yield from self._above_majority(name, made)
            yield from self._distances(name, made)
            yield from self._diversity(name, made)
            yield from self._memory(name, made)

    def real_rows(self) -> Iterator[Row]:
        """The same of the real parts, and of those that guess."""
        real = self.real
        yield from self._accuracy(REAL, real)
        yield from self._read_class(REAL, real)
        yield from self._partners(REAL, real, self.everywhere)
        yield from self._pitch(REAL, real, self.everywhere)
        yield from self._distances(REAL, real)
        yield from self._spread_in_class()
        yield from self._memory(REAL, real)
        yield from self._guesses()
        yield from self._guessed_pitch()

    # Classes.

    def _hits(self, made: Readings, outputs: int | None = None) -> Float64[np.ndarray, " n"] | None:
        """Share of each pair's outputs that the judge finds right; None without one, or classes.

        Args:
            made: what was read in all outputs.
            outputs: how many of each pair are looked at, if not all.
        """
        if not self.told or self.role not in made.probabilities:
            return None
        guesses = made.probabilities[self.role][:, :outputs].argmax(2)
        return (guesses == made.labels[:, None]).mean(1)

    def _accuracy(self, name: str, made: Readings) -> Iterator[Row]:
        hits = self._hits(made)
        if hits is None:
            return
        yield from self._accuracies(name, made, hits, "")
        for label in np.unique(made.labels[made.labels >= 0]):
            own = made.labels == label
            found = Sources(made.sources[own], self.protocol).mean(hits[own])
            yield self._row(name, f"accuracy{CLASS}{label:02d}", found)

    def _accuracies(
        self, name: str, made: Readings, hits: Float64[np.ndarray, " n"], suffix: str
    ) -> Iterator[Row]:
        known = made.labels >= 0
        if not known.any():
            return
        sources = Sources(made.sources[known], self.protocol)
        yield self._row(name, f"accuracy{suffix}", sources.mean(hits[known]))
        whole = one_hot(made.labels[known])
        macro = sources.share(whole * hits[known, None], whole)
        yield self._row(name, f"accuracy_macro{suffix}", macro)

    def train_rows(self, name: str, made: Readings) -> Iterator[Row]:
        """Accuracy on training pairs."""
        hits = self._hits(made)
        if hits is not None:
            yield from self._accuracies(name, made, hits, "_train")

    def difference(
        self, name: str, made: Readings, other: Readings, places: Int64[np.ndarray, " m"]
    ) -> Iterator[Row]:
        """By how much a model's accuracy exceeds its shuffled double's, on the same pairs.

        Of first outputs: those have the same noise.
        """
        hits, deaf = self._hits(made, 1), self._hits(other, 1)
        if hits is None or deaf is None:
            return
        known = other.labels >= 0
        apart = (hits[places] - deaf)[known]
        if len(apart):
            found = Sources(other.sources[known], self.protocol).mean(apart)
            yield self._row(f"{name} - {name}{SHUFFLED}", "accuracy", found)

    def _guesses(self) -> Iterator[Row]:
        """What the most frequent class, and blind guessing, would score."""
        known = self.real.labels >= 0
        if self.told and self.role in self.real.probabilities:
            sources = Sources(self.real.sources[known], self.protocol)
            yield self._row(MAJORITY, "accuracy", sources.mean(self._of_majority()[known]))
            there = len(np.unique(self.real.labels[known]))
            yield self._plain(MAJORITY, "accuracy_macro", 1 / there, int(known.sum()))
        if self.real.embeddings is not None:
            n = len(self.real)
            for k in RANKS:
                yield self._plain(CHANCE, f"recall@{k}", min(1.0, k / n), n)
            yield self._plain(CHANCE, "auc", 0.5, n)

    def _of_majority(self) -> Float64[np.ndarray, " n"]:
        """1 for pairs of the most frequent class, 0 for all others."""
        labels = self.real.labels
        return (labels == np.bincount(labels[labels >= 0]).argmax()).astype(np.float64)

    def _above_majority(self, name: str, made: Readings) -> Iterator[Row]:
        """By how much a model's accuracy exceeds the floor, on the same pairs."""
        hits, known = self._hits(made), made.labels >= 0
        if hits is not None:
            found = Sources(made.sources[known], self.protocol)
            apart = (hits - self._of_majority())[known]
            yield self._row(f"{name} - {MAJORITY}", "accuracy", found.mean(apart))

    def _read_class(self, name: str, made: Readings) -> Iterator[Row]:
        """Classes by the world's own reader."""
        seen = made.perceived
        read = None if seen is None else seen.seen_class if self._sees else seen.heard_class
        known = made.labels >= 0
        if read is not None and self.told and known.any():
            right = (read == made.labels)[known].astype(np.float64)
            found = Sources(made.sources[known], self.protocol).mean(right)
            yield self._row(name, "accuracy_read", found)

    @property
    def _sees(self) -> bool:
        return self.role == "image"

    # Partners.

    def _partners(
        self, name: str, made: Readings, places: Int64[np.ndarray, " m"]
    ) -> Iterator[Row]:
        """How well the true partner of each output is found among all."""
        if made.embeddings is None or self.real.partners is None:
            return
        scores: dict[str, list[np.ndarray]] = {}
        for sample in range(made.embeddings.shape[1]):
            similarity = np.round(made.embeddings[:, sample] @ self.real.partners.T, DIGITS)
            for k in RANKS:
                scores.setdefault(f"recall@{k}", []).append(found_among(similarity, places, k))
            scores.setdefault("auc", []).append(beaten_share(similarity, places))
        sources = Sources(made.sources, self.protocol)
        for metric, each in scores.items():
            yield self._row(name, metric, sources.mean(np.mean(each, axis=0)))

    def _pitch(self, name: str, made: Readings, places: Int64[np.ndarray, " m"]) -> Iterator[Row]:
        """Whether the pitch goes with the place, over all and within classes."""
        seen = made.perceived
        if seen is not None and seen.place is not None and seen.pitch is not None:
            place, pitch = seen.place, seen.pitch
            together = np.zeros(len(made), np.int64)
            yield from self._correlation(name, "pitch_place", made, place, pitch, together)
            if self.told:
                metric, groups = "pitch_place_in_class", made.labels
                shown = place if seen.place_in_class is None else seen.place_in_class
                yield from self._correlation(name, metric, made, shown, pitch, groups)
            readable = (np.isfinite(place) & np.isfinite(pitch)).astype(np.float64)
            found = Sources(made.sources, self.protocol).mean(readable)
            yield self._row(name, "pitch_place_readable", found)
        if PITCH in made.probabilities and name != REAL:
            truth = notes(self.real.probabilities[PITCH])[places]
            known = truth[:, 0] >= 0
            if known.any():
                near = near_notes(notes(made.probabilities[PITCH]), truth)[known].mean(1)
                found = Sources(made.sources[known], self.protocol).mean(near)
                yield self._row(name, "pitch_near", found)

    def _guessed_pitch(self) -> Iterator[Row]:
        """What always answering the one note that is right most often would score."""
        if PITCH not in self.real.probabilities:
            return
        truth = notes(self.real.probabilities[PITCH])
        known = truth[:, 0] >= 0
        if known.any():
            each = np.arange(truth.max() + 1)[None]
            near = near_notes(each.repeat(int(known.sum()), 0), truth[known])
            best = near[:, near.mean(0).argmax()].astype(np.float64)
            found = Sources(self.real.sources[known], self.protocol).mean(best)
            yield self._row(MAJORITY, "pitch_near", found)

    def _correlation(
        self,
        name: str,
        metric: str,
        made: Readings,
        place: Float64[np.ndarray, " n"],
        pitch: Float64[np.ndarray, " n"],
        groups: Int64[np.ndarray, " n"],
    ) -> Iterator[Row]:
        """Spearman's correlation of ranks within groups, and its exact p; unreadable ones add 0."""
        _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
        ranked = count[group] > 1
        if ranked.sum() < 2:
            return
        own = groups[ranked]
        seen, heard = (ranks_within(x[ranked], own) for x in (place, pitch))
        tested = permutation_test(
            lambda pairing: seen[pairing] @ heard / len(heard),
            len(heard),
            permutations=self.protocol.permutations,
            seed=self.protocol.seed,
            groups=own if len(np.unique(own)) > 1 else None,
        )
        found = Sources(made.sources[ranked], self.protocol).correlation(seen, heard)
        yield self._row(name, metric, found)
        yield self._plain(name, metric + P_VALUE, tested.p, len(heard))

    # Quality and variety.

    def _distances(self, name: str, made: Readings) -> Iterator[Row]:
        """Distances of the first outputs of one half of the pairs from the real parts of the other.

        Both ways round, the mean: the same numbers of clips for models as for real ones, and no
        clip beside one of its own recording. None if a half has fewer than two.
        """
        distances: dict[str, Callable[..., float]] = {
            "frechet": frechet_distance,
            "kid": kernel_distance,
        }
        for reader in self.everyone:
            if reader.key == PITCH or reader.key not in made.features:
                continue
            pairs = []
            for one, other in (self.halves, self.halves[::-1]):
                ours = made.features[reader.key][one, 0]
                real = self.real.features[reader.key][other, 0]
                if min(len(ours), len(real)) < 2:
                    return
                pairs.append((torch.from_numpy(real), torch.from_numpy(ours)))
            suffix = reader.key if reader.key.startswith("[") else ""
            for metric, distance in distances.items():
                value = float(np.mean([distance(x, y) for x, y in pairs]))
                yield self._plain(name, metric + suffix, value, len(made))

    def _diversity(self, name: str, made: Readings) -> Iterator[Row]:
        """How different a pair's outputs are; 0: the noise is not used."""
        if made.spread is None:
            return
        sources = Sources(made.sources, self.protocol)
        if self.role in made.features:
            apart = mean_distance(
                torch.from_numpy(made.features[self.role]), seed=self.protocol.seed
            )
            yield self._row(name, "diversity", sources.mean(apart))
        yield self._row(name, "diversity_raw", sources.mean(made.spread))

    def _spread_in_class(self) -> Iterator[Row]:
        """How different two real clips of one class are, of other recordings where there are."""
        real, seed = self.real, self.protocol.seed
        partner = same_class_partner(real.labels, real.sources, seed=seed)
        ours = partner >= 0
        if not ours.any():
            return
        sources = Sources(real.sources[ours], self.protocol)
        wanted: Mapping[str, np.ndarray | None] = {
            "diversity": real.features[self.role][:, 0] if self.role in real.features else None,
            "diversity_raw": real.raw,
        }
        for metric, x in wanted.items():
            if x is not None:
                both = torch.from_numpy(np.stack([x[ours], x[partner[ours]]], axis=1))
                scale = x.shape[1] ** 0.5 if metric.endswith("raw") else 1.0
                yield self._row(REAL, metric, sources.mean(mean_distance(both, seed=seed) / scale))

    def _memory(self, name: str, made: Readings) -> Iterator[Row]:
        """Whether the first outputs are nearer to training clips than unseen real ones are.

        Those of one half of the pairs are measured by the real parts of the other, both ways round,
        and the mean is taken: by as many for models as for real ones.
        """
        if self.train is None or self.role not in made.features or not self.halves[0].any():
            return
        train = self.train.features[self.role][:, 0]
        real, ours = self.real.features[self.role][:, 0], made.features[self.role][:, 0]
        one, other = self.halves
        found = [memorization(train, real[b], ours[a]) for a, b in ((one, other), (other, one))]
        yield self._plain(name, "memory", float(np.mean([x.auc for x in found])), len(ours))
        yield self._plain(name, "copies", float(np.mean([x.copies for x in found])), len(ours))


def notes(shares: Float32[np.ndarray, "n s k"]) -> Int64[np.ndarray, "n s"]:
    """Likeliest note of each sound; -1 if all are as likely, which a judge says of no pitch."""
    told = np.ptp(shares, axis=2) > EVEN
    return np.where(told, shares.argmax(2), -1)


def near_notes(
    heard: Int64[np.ndarray, "n s"], truth: Int64[np.ndarray, "n _"]
) -> Bool[np.ndarray, "n s"]:
    """Whether notes are at most a semitone off the true ones; sounds without pitch never are."""
    return (np.abs(heard - truth) <= 1) & (heard >= 0) & (truth >= 0)


def classifier_rows(
    name: str,
    right: Mapping[str, Bool[np.ndarray, " n"]],
    sources: Int64[np.ndarray, " n"],
    protocol: CrossmodalProtocol,
) -> Iterator[Row]:
    """Accuracies of a model's own classifier.

    Args:
        name: of the model.
        right: by what it is shown, of each pair whether its answer is right.
        sources: number of the recording of each pair.
        protocol: seed, confidence and number of resamples.
    """
    over = Sources(sources, protocol)
    for column, hits in right.items():
        found = over.mean(hits.astype(np.float64))
        yield Row(name, f"classifier[{column}]", NO_RULE, None, *found, protocol.seed)

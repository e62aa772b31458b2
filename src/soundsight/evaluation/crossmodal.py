"""Evaluate pictures that are made from sounds, and sounds that are made from pictures.

`evaluate_crossmodal` gives each model one part of held-out pairs, draws K outputs of each, and has
them judged by networks that are no part of any model: is the class right, is the true partner
found, is there variety, is anything learned by heart? Three questions guard against being fooled:

- *does the model listen?* The rows "<model> shuffled" are of the same model that was given the part
  of another pair, of another class, and are scored against the pair's own;
- *what would guessing score?* The rows "majority" and "chance" say so;
- *what is the most that can be had?* The rows "real" are of the real parts.

Intervals are over recordings, not over pairs cut from them. A result depends on the seed and on the
pairs, never on how many were drawn together.

Source: accuracy as of L. Chen, S. Srivastava, Z. Duan and C. Xu, "Deep cross-modal audio-visual
generation", 2017, whose own encoders judge, and of CMCGAN (W. Hao, Z. Zhang and H. Guan, AAAI 2018,
arXiv 1711.08102); retrieval by a judge that follows Arandjelovic and Zisserman, "Look, listen
and learn", 2017. All else is our own.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int64

from soundsight.contract import Model, Streams
from soundsight.data.loader import Dataset
from soundsight.data.orchestra import OrchestraDataset
from soundsight.data.orchestra_notes import CLASSES
from soundsight.data.perceived import Perceiver
from soundsight.data.prepared import PreparedDataset
from soundsight.evaluation import joint_readings
from soundsight.evaluation.coverage import nearest
from soundsight.evaluation.crossmodal_metrics import Scorer, classifier_rows
from soundsight.evaluation.crossmodal_numbers import other_class_partner
from soundsight.evaluation.crossmodal_readings import (
    DIRECTIONS,
    Direction,
    Readings,
    directions,
    drawn,
    read,
    real_pairs,
)
from soundsight.evaluation.crossmodal_scores import (
    CONTROLS,
    LEAST_RECORDINGS,
    ROLES,
    SHUFFLED,
    CrossmodalProtocol,
    CrossmodalScores,
    Examples,
)
from soundsight.evaluation.extractors import Extractor
from soundsight.evaluation.forecasters import clip_indices
from soundsight.evaluation.joint import Progress
from soundsight.evaluation.joint_scores import REAL
from soundsight.evaluation.scores import Row
from soundsight.media.clip import Clip

__all__ = ["CrossmodalProtocol", "CrossmodalScores", "evaluate_crossmodal"]


def evaluate_crossmodal(
    models: Mapping[str, Model],
    data: Dataset,
    train: Dataset,
    protocol: CrossmodalProtocol,
    *,
    judges: Mapping[str, Any],
    extractors: Sequence[Extractor] = (),
    progress: Progress | None = None,
) -> CrossmodalScores:
    """Score models that make a picture of a sound, a sound of a picture, or each of the other.

    Args:
        models: by the name of their rows.
        data: the split that the protocol names, already opened: pairs, clips of one frame. If it
            has a method `perceive`, pitch and place are compared by it.
        train: the training split, for the search for copies.
        protocol: how to evaluate.
        judges: trained networks by role, some or none of `ROLES`; what none is there for is left
            out, and noted. `joint_readings.readers` says which methods they have.
        extractors: published networks of pictures or of sounds to judge by as well.
        progress: called with (pairs read, pairs in all) after each batch.

    Returns:
        Rows (see `crossmodal_metrics`), who judged, and a few examples.

    Raises:
        ValueError: if there is no model, a name is taken, a model takes or makes something else, a
            role is unknown, clips have several frames, lack a part, or are too few, an extractor
            looks at videos, or a model makes clips of another size or that are not finite.
    """
    ways = _check(models, data, train, judges, extractors)
    used = dataclasses.replace(protocol, clips=min(protocol.clips, len(data)))
    whole = _Evaluation(data, train, used, judges, extractors, progress)
    whole.count.total = whole.reads(ways)
    rows: list[Row] = []
    for direction in DIRECTIONS:
        theirs = {name: model for name, model in models.items() if direction in ways[name]}
        if theirs:
            rows += whole.score(direction, theirs)
    for name, model in models.items():
        rows += whole.score_classifier(name, model)
    return CrossmodalScores(
        protocol=protocol,
        spec=data.spec,
        rows=rows,
        models=list(models),
        judges=whole.judges(),
        classes=class_names(data, whole.classes),
        compared=whole.compared(),
        notes=[*whole.notes(protocol, judges)],
        examples=whole.examples,
    )


def _check(
    models: Mapping[str, Model],
    data: Dataset,
    train: Dataset,
    judges: Mapping[str, Any],
    extractors: Sequence[Extractor],
) -> dict[str, list[Direction]]:
    """What each model makes of what, if all can be scored."""
    if not models:
        raise ValueError("no model: there is nothing to evaluate")
    for name in models:
        if not name or name in CONTROLS or " - " in name or name.endswith(SHUFFLED):
            raise ValueError(
                f"model name {name!r} must be neither empty nor one of {', '.join(CONTROLS)}, and "
                f"hold no ' - ' or {SHUFFLED!r}"
            )
    found = {name: directions(name, model) for name, model in models.items()}
    for role in judges:
        if role not in ROLES:
            raise ValueError(f"judges: role {role!r} must be one of {', '.join(ROLES)}")
    for extractor in extractors:
        if extractor.part == "video":
            raise ValueError(
                f"extractor {extractor.name} looks at videos; pairs have single pictures: use one "
                "that looks at images or sounds"
            )
    if data.spec.frames != 1:
        raise ValueError(
            f"clips of {data.spec.frames} frames: scored here are pairs, clips of 1 frame with "
            "their sound"
        )
    if train.spec != data.spec:
        raise ValueError(f"training clips are {train.spec}, the others {data.spec}")
    for split, source in (("evaluated", data), ("training", train)):
        if len(source) < 2:
            raise ValueError(f"the {split} split has {len(source)} clips; at least 2 are needed")
    return found


def class_names(data: Dataset, count: int) -> list[str]:
    """Names of the classes of a data set, or their numbers where it has none."""
    names: Sequence[str] = ()
    if isinstance(data, PreparedDataset):
        names = data.prepared.labels
    elif isinstance(data, OrchestraDataset):
        names = CLASSES
    return [names[i] if i < len(names) else str(i) for i in range(count)]


class _Count:
    """Passes batches on and says how many pairs have passed."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.total, self.done = progress, 0, 0

    def __call__(self, batches: Iterable[tuple[Clip, Clip]]) -> Iterator[tuple[Clip, Clip]]:
        for made, pair in batches:
            yield made, pair
            self.done += len(pair)
            if self.progress is not None:
                self.progress(self.done, max(self.total, self.done))


class _Evaluation:
    """What all models share: pairs, judges, conditions and examples."""

    def __init__(
        self,
        data: Dataset,
        train: Dataset,
        protocol: CrossmodalProtocol,
        judges: Mapping[str, Any],
        extractors: Sequence[Extractor],
        progress: Progress | None,
    ) -> None:
        self.data, self.train, self.protocol = data, train, protocol
        self.count = _Count(progress)
        self.everyone = joint_readings.readers(judges, extractors, protocol.judges)
        self.judge = joint_readings.correspondence(judges, protocol.judges)
        self.perceive = data.perceive if isinstance(data, Perceiver) else None
        seed = protocol.seed
        self.indices = clip_indices(len(data), protocol.clips, seed=seed)
        order = np.random.default_rng(seed).permutation(len(train)).tolist()
        self.learned, self.shown_train = order[: protocol.reference], order[: protocol.train_clips]
        self.labels = self.sources = np.zeros(0, np.int64)
        self.examples: Examples | None = None
        self.shuffled = 0

    def reads(self, ways: Mapping[str, list[Direction]]) -> int:
        """How many pairs are read in all."""
        own = len(self.indices) + len(self.shown_train)
        total = 0
        for direction in {d for way in ways.values() for d in way}:
            number = sum(direction in way for way in ways.values())
            total += own + number * (own + len(self.indices)) + len(self._copied(direction))
        return total

    def _copied(self, direction: Direction) -> list[int]:
        """Training clips among which copies are sought: none without features."""
        keys = [reader.key for reader in self.everyone]
        return self.learned if direction.role in keys else []

    # What is read.

    def _real(self, data: Dataset, indices: Sequence[int], direction: Direction) -> Iterator[Any]:
        return self.count(real_pairs(data, indices, direction, self.protocol.batch_clips))

    def _drawn(
        self,
        model: Model,
        indices: Sequence[int],
        direction: Direction,
        data: Dataset | None = None,
    ) -> Iterator[tuple[Clip, Clip]]:
        source = self.data if data is None else data
        return self.count(drawn(model, source, indices, indices, direction, self.protocol))

    def _misled(
        self,
        model: Model,
        places: Int64[np.ndarray, " m"],
        conditions: Sequence[int],
        direction: Direction,
    ) -> Iterator[tuple[Clip, Clip]]:
        """One output of each pair, given another's part, with the noise of the first output."""
        once = dataclasses.replace(self.protocol, num_samples=1)
        indices = [self.indices[i] for i in places]
        return self.count(drawn(model, self.data, indices, conditions, direction, once))

    def score(self, direction: Direction, models: Mapping[str, Model]) -> Iterator[Row]:
        """All rows of one direction, first those of the models."""
        judged = [r for r in self.everyone if r.judged.part == direction.part]
        seed = self.protocol.seed
        options: dict[str, Any] = {"judge": self.judge, "perceive": self.perceive, "seed": seed}
        real = read(self._real(self.data, self.indices, direction), direction, judged,
                    real=True, **options)  # fmt: skip
        self.labels, self.sources = real.labels, real.sources
        own = [reader for reader in judged if reader.key == direction.role]
        train = None
        if copied := self._copied(direction):
            train = read(self._real(self.train, copied, direction), direction, own)
        scorer = Scorer(direction, real, train, judged, self.protocol)
        places, conditions = self._shuffle()
        self.shuffled = len(places)
        for name, model in models.items():
            made = read(self._drawn(model, self.indices, direction), direction, judged, **options)
            yield from scorer.rows(name, made, np.arange(len(self.indices)))
            if len(places):
                foreign = self._misled(model, places, conditions, direction)
                deaf = read(foreign, direction, judged, **options)
                yield from scorer.rows(name + SHUFFLED, deaf, places)
                yield from scorer.difference(name, made, deaf, places)
            if self.shown_train:
                pairs = self._drawn(model, self.shown_train, direction, data=self.train)
                yield from scorer.train_rows(name, read(pairs, direction, own))
            self._keep(direction, name, model, made, train)
        yield from scorer.real_rows()
        if self.shown_train:
            pairs = self._real(self.train, self.shown_train, direction)
            yield from scorer.train_rows(REAL, read(pairs, direction, own))

    def _shuffle(self) -> tuple[Int64[np.ndarray, " m"], list[int]]:
        """Which pairs are given another's part, and the index of that other one.

        Another's class is another one; without classes, or with one alone, its recording is. Where
        there are classes, clips without a label have no part in it: theirs may be any.
        """
        known = np.flatnonzero(self.labels >= 0)
        kinds = self.labels
        if self.classes < 2:
            known, kinds = np.arange(len(self.labels)), self.sources
        partner = other_class_partner(kinds[known], seed=self.protocol.seed)
        shuffled = partner >= 0
        conditions = known[partner[shuffled]]
        return known[shuffled], [self.indices[i] for i in conditions]

    def score_classifier(self, name: str, model: Any) -> Iterator[Row]:
        """Accuracy of a model's own classifier, if it has one."""
        if not callable(getattr(model, "classify_columns", None)) or self.classes < 2:
            return
        if getattr(model, "classifier", None) is None:
            return
        right: dict[str, list[np.ndarray]] = {}
        for start in range(0, len(self.indices), self.protocol.batch_clips):
            ids = self.indices[start : start + self.protocol.batch_clips]
            (clip,) = joint_readings.real(self.data, ids, len(ids))
            pair = Clip(clip.spec, clip.video, clip.audio)
            told = self.labels[start : start + len(ids)]
            with torch.no_grad():
                found = model.classify_columns(pair, Streams(self.protocol.seed, ids))
            for column, logits in found.items():
                right.setdefault(column, []).append(logits.argmax(1).cpu().numpy() == told)
        known = self.labels >= 0
        hits: dict[str, Bool[np.ndarray, " n"]] = {
            column: np.concatenate(parts)[known] for column, parts in right.items()
        }
        yield from classifier_rows(name, hits, self.sources[known], self.protocol)

    # What is shown.

    def _keep(
        self, direction: Direction, name: str, model: Model, made: Readings, train: Readings | None
    ) -> None:
        """Keep a model's outputs for the examples; drawn again, they are the same."""
        places = example_places(self.labels, self.protocol.examples)
        if not places:
            return
        ids = [self.indices[i] for i in places]
        if self.examples is None:
            pairs = self.data.clips(ids)
            parts = {"video": pairs.video, "audio": pairs.audio, "label": pairs.label}
            self.examples = Examples(Clip(pairs.spec, **parts), {}, {})
        batches = drawn(model, self.data, ids, ids, direction, self.protocol)
        clips = Clip.cat([clip for clip, _ in batches])
        self.examples.made.setdefault(direction.role, {})[name] = clips
        if train is not None and direction.role in made.features:
            learned = train.features[direction.role][:, 0]
            near = nearest(learned, made.features[direction.role][places, 0])
            rows = [self.learned[i] for i in near.rows]
            (clip,) = joint_readings.real(self.train, rows, len(rows))
            copies = Clip(clip.spec, **{direction.made: clip.parts()[direction.made]})
            self.examples.nearest.setdefault(direction.role, {})[name] = copies

    # What is said.

    @property
    def classes(self) -> int:
        """One more than the largest label; 0 without labels, 1 if all are the same."""
        known = self.labels[self.labels >= 0]
        return int(known.max()) + 1 if len(np.unique(known)) > 1 else len(np.unique(known))

    def judges(self) -> list[Any]:
        """Everyone who judged."""
        also = [self.judge.judged] if self.judge is not None else []
        return [reader.judged for reader in self.everyone] + also

    def compared(self) -> dict[str, Any]:
        """What the report says of the pairs; in the protocol block it replaces what was asked."""
        return {
            "clips": len(self.indices),
            "recordings": len(np.unique(self.sources)),
            "labelled_clips": int((self.labels >= 0).sum()),
            "classes": len(np.unique(self.labels[self.labels >= 0])),
            "shuffled_clips": self.shuffled,
            "training_clips": len(self.learned),
            "training_clips_in_all": len(self.train),
            "indices": self.indices,
        }

    def notes(self, asked: CrossmodalProtocol, judges: Mapping[str, Any]) -> Iterator[str]:
        """What could not be scored, or not as asked for, and why."""
        n, k = len(self.indices), self.compared()["classes"]
        if asked.split == "train":
            yield (
                "The scored pairs are of the training split: unless they are of other data, models "
                "and judges have learned from them."
            )
        if n < asked.clips:
            yield f"The {asked.split} split has {n} pairs: all are scored, not {asked.clips}."
        lost = {
            "image": "accuracy of pictures, distances, variety by features and search for copies",
            "sound": "accuracy of sounds, distances, variety by features and search for copies",
            "correspondence": "retrieval and AUC",
            "pitch": "share of sounds with the right pitch",
        }
        for role, what in lost.items():
            if role not in judges:
                yield f"There is no judge of {role}: without it there is no {what}."
        yield from self._notes_on_classes(n, k, len(np.unique(self.sources)))
        if asked.num_samples < 2:
            yield "One output was drawn of each pair (num_samples=1): there is no diversity."
        if self.perceive is None:
            yield "This data has no reader of place and pitch: these are not compared."

    def _notes_on_classes(self, n: int, classes: int, recordings: int) -> Iterator[str]:
        """What n pairs of so many classes and recordings do not allow."""
        apart = "of one recording alone: there are no shuffled conditions"
        if recordings > 1:
            apart = "the shuffled conditions are of other recordings"
        if classes < 2:
            what = "no class labels" if not classes else "one class alone"
            if recordings > 1:
                yield f"The pairs have {what}: there is no accuracy, and {apart}."
            else:
                yield f"The pairs have {what} and are {apart}, and no accuracy."
        if 0 < self.shuffled < n:
            why = "have no label, or are of a class that has more than half of those that have one"
            if classes < 2:
                why = "are of a recording that has more than half of them"
            yield f"{n - self.shuffled} of {n} pairs {why}: the shuffled rows are without these."
        if recordings < 2:
            yield (
                "All pairs are cut from one recording: there are no intervals, no distances and no "
                "search for copies."
            )
        elif recordings < LEAST_RECORDINGS:
            yield (
                f"The pairs are cut from {recordings} recordings: intervals over fewer than "
                f"{LEAST_RECORDINGS} are too narrow, so nothing is claimed."
            )


def example_places(labels: Int64[np.ndarray, " n"], count: int) -> list[int]:
    """Which pairs are shown: the first of each class, then the second of each, and so on.

    Args:
        labels: of the pairs; those without one are a class of their own.
        count: how many at most.

    Returns:
        Places, in the order of the classes.
    """
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        own = labels == label
        turn[own] = np.arange(int(own.sum()))
    chosen = np.lexsort((labels, turn))[:count]
    return sorted(chosen.tolist(), key=lambda place: (int(labels[place]), place))

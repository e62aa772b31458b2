"""Evaluate clips that are generated, picture and sound together, from noise alone.

`evaluate_joint` draws clips from each model, reads them with judges a batch at a time, and compares
what was read with what was read in real clips: is the sound good, is the picture good, do the two
belong together, is there enough variety, is anything learned by heart? A result depends on the seed
and the number of clips, never on how many were drawn together.

The row "real" is what every score says of real clips that were not generated: the null value of
distances and bins, the ceiling of the others. Rows named "<model> re-paired" are the model's own
clips with exchanged sounds.

Source: the tables of Kurmi et al., "Collaborative learning to generate audio-video jointly", ICASSP
2021, arXiv 2104.02656, with judges of our own in the place of those that it does not name; and the
test of whether picture and sound belong together, which it does not have (`permutation`).
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from soundsight.contract import Model
from soundsight.data.loader import Dataset
from soundsight.data.perceived import Perceiver
from soundsight.evaluation import joint_readings
from soundsight.evaluation.bins import Bins
from soundsight.evaluation.extractors import Extractor
from soundsight.evaluation.joint_metrics import Real, Scorer
from soundsight.evaluation.joint_readings import Reader, Readings
from soundsight.evaluation.joint_scores import (
    REAL,
    ROLES,
    SEEDS,
    JointProtocol,
    JointScores,
    group_rows,
)
from soundsight.evaluation.scores import Row
from soundsight.media.clip import Clip

__all__ = [
    "REAL",
    "ROLES",
    "SEEDS",
    "JointProtocol",
    "JointScores",
    "Progress",
    "evaluate_joint",
    "group_rows",
]

Progress = Callable[[int, int], None]
"""Called with (clips read, clips in all)."""
ALIGN_NEEDS = ("librosa", "cv2")
"""Modules without which there is no AV-Align."""
LEAST_BINS = 2
"""Fewest bins of sounds that say anything."""
BIN_SOUNDS = 5
"""Different training sounds that there have to be for each bin beyond these."""


def evaluate_joint(
    models: Mapping[str, Model],
    data: Dataset,
    train: Dataset,
    protocol: JointProtocol,
    *,
    judges: Mapping[str, Any],
    extractors: Sequence[Extractor] = (),
    progress: Progress | None = None,
) -> JointScores:
    """Score models that make picture and sound from noise.

    Args:
        models: by the name of their rows; they take nothing and make "video" and "audio".
        data: the split that the protocol names, already opened; if it has fewer clips than the
            protocol asks for, as many of each model are scored. If it has a method `perceive`, what
            is seen and heard is compared by it, otherwise only what moves and what sounds.
        train: the training split, for bins and the search for copies.
        protocol: how to evaluate.
        judges: trained networks by role, some or none of `ROLES`; what none is there for is left
            out, and noted. `joint_readings.readers` says which methods they have.
        extractors: published networks to judge by as well.
        progress: called after each batch.

    Returns:
        Rows, who judged, and a few examples.

    Raises:
        ValueError: if there is no model, a name is taken, a model takes something or does not make
            both, a role is unknown, a split has too few clips or clips without picture or sound, or
            a model makes clips of another size or that are not finite.
    """
    _check(models, data, train, judges)
    used = dataclasses.replace(protocol, clips=min(protocol.clips, len(data)))
    everyone = joint_readings.readers(judges, extractors, protocol.judges)
    judge = joint_readings.correspondence(judges, protocol.judges)
    align = all(find_spec(name) is not None for name in ALIGN_NEEDS)
    plan = _plan(data, train, used)
    count = _Count(progress, plan.clips + used.clips * len(models))
    whole: dict[str, Any] = {
        "judge": judge,
        "perceive": joint_readings.perceiver(data),
        "align": align,
        "shown": protocol.examples,
    }
    real = _read_real(plan, data, train, everyone, whole, used, count)
    scorer = Scorer(real, everyone, used, data.spec)
    rows: list[Row] = []
    examples = {REAL: real.test.shown}
    for name, model in models.items():
        clips = joint_readings.generated(model, data.spec, used)
        made = joint_readings.read(count(clips), everyone, **whole)
        rows += scorer.rows(name, made)
        examples[name] = made.shown
    rows += scorer.real_rows()
    compared = _compared(plan, real, used, len(train))
    return JointScores(
        protocol=protocol,
        spec=data.spec,
        rows=rows,
        models=list(models),
        judges=[r.judged for r in everyone] + ([judge.judged] if judge is not None else []),
        compared=compared,
        notes=[*_notes(judges, data, align), *_other_notes(protocol, compared)],
        examples={name: clip for name, clip in examples.items() if clip is not None},
    )


class _Count:
    """Passes batches on and says how many clips have passed."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, clips: Iterable[Clip]) -> Iterator[Clip]:
        for clip in clips:
            yield clip
            self.done += len(clip)
            if self.progress is not None:
                self.progress(self.done, self.total)


def _check(
    models: Mapping[str, Model], data: Dataset, train: Dataset, judges: Mapping[str, Any]
) -> None:
    if not models:
        raise ValueError("no model: there is nothing to evaluate")
    for name, model in models.items():
        if not name or name == REAL or " - " in name or name.endswith(" re-paired"):
            raise ValueError(
                f"model name {name!r} must be neither empty nor {REAL!r}, and hold no ' - ' or "
                "' re-paired'"
            )
        if model.takes or not {"video", "audio"} <= model.makes:
            raise ValueError(
                f"{name} takes {sorted(model.takes)} and makes {sorted(model.makes)}; scored here "
                "are models that take nothing and make video and audio"
            )
    for role in judges:
        if role not in ROLES:
            raise ValueError(f"judges: role {role!r} must be one of {', '.join(ROLES)}")
    if train.spec != data.spec:
        raise ValueError(f"training clips are {train.spec}, the others {data.spec}")
    for split, source in (("evaluated", data), ("training", train)):
        if len(source) < 2:
            raise ValueError(f"the {split} split has {len(source)} clips; at least 2 are needed")


class _Plan(NamedTuple):
    """Which real clips are read, chosen at random."""

    test: list[int]
    """Of the split: what is compared with."""
    other: list[int]
    """For the row "real", by everyone: of the split, and none of `test`; or of the training."""
    standing_in: bool
    """Whether `other` are training clips, because the split has too few."""
    train: list[int]
    """Training clips behind the bins and the search for copies."""
    unread: list[int]
    """Those of `train` that are not among `other`."""

    @property
    def clips(self) -> int:
        """Clips that are read."""
        return len(self.test) + len(self.other) + len(self.unread)


def _plan(data: Dataset, train: Dataset, protocol: JointProtocol) -> _Plan:
    n = protocol.clips
    order = np.random.default_rng(protocol.seed).permutation(len(data)).tolist()
    learned = np.random.default_rng(protocol.seed).permutation(len(train)).tolist()
    standing_in = len(data) < 2 * n
    return _Plan(
        test=order[:n],
        other=learned[:n] if standing_in else order[n : 2 * n],
        standing_in=standing_in,
        train=learned[: protocol.reference],
        unread=learned[n if standing_in else 0 : protocol.reference],
    )


def _read_real(
    plan: _Plan,
    data: Dataset,
    train: Dataset,
    everyone: Sequence[Reader],
    whole: Mapping[str, Any],
    protocol: JointProtocol,
    count: "_Count",
) -> Real:
    """Read real clips; most training clips only by those who look for copies."""

    def read(
        source: Dataset, rows: Sequence[int], by: Sequence[Reader], **options: Any
    ) -> Readings:
        clips = joint_readings.real(source, rows, protocol.batch_clips)
        return joint_readings.read(count(clips), by, **options)

    test = read(data, plan.test, everyone, **whole)
    other = read(train if plan.standing_in else data, plan.other, everyone)
    own = [reader for reader in everyone if reader.key in joint_readings.LEARNED]
    parts = [other.first(len(plan.train))] if plan.standing_in else []
    if plan.unread:
        parts.append(read(train, plan.unread, own))
    learned = parts[0] if len(parts) == 1 else parts[0].then(parts[1])
    return Real(test, other, learned, _bins(learned, protocol))


def _bins(learned: Readings, protocol: JointProtocol) -> Bins | None:
    """Bins of the training sounds, fewer where few differ; None where all are the same."""
    different = len({row.tobytes() for row in learned.spectra})
    if different < LEAST_BINS:
        return None
    most = max(LEAST_BINS, different // BIN_SOUNDS)
    return Bins.fit(learned.spectra, bins=min(protocol.bins, most), seed=protocol.seed)


def _compared(plan: _Plan, real: Real, used: JointProtocol, training: int) -> dict[str, Any]:
    """What the report says of the clips; in the protocol block it replaces what was asked for."""
    return {
        "clips": used.clips,
        "bins": 0 if real.bins is None else len(real.bins.counts),
        "real_clips": len(plan.test),
        "training_clips": len(plan.train),
        "training_clips_in_all": training,
        "real_row": "training clips" if plan.standing_in else "other clips of the same split",
        "real_row_clips": len(plan.other),
        "indices": list(plan.test),
    }


def _other_notes(protocol: JointProtocol, compared: Mapping[str, Any]) -> Iterator[str]:
    """What was scored otherwise than the protocol asks."""
    n, k = compared["clips"], compared["bins"]
    if n < protocol.clips:
        yield (
            f"The {protocol.split} split has {n} clips: as many of each model are scored, not "
            f"{protocol.clips}."
        )
    if compared["real_row_clips"] < n:
        yield (
            f"The row of the real clips has distances of only {compared['real_row_clips']} clips: "
            "there are no more training clips to stand in."
        )
    if not k:
        yield "All training sounds are the same: without different ones there are no bins (NDB)."
    elif k < protocol.bins:
        yield (
            f"There are {k} bins of sounds, not {protocol.bins}: each needs {BIN_SOUNDS} different "
            "training sounds, if there are to be more than two."
        )


def _notes(judges: Mapping[str, Any], data: Dataset, align: bool) -> Iterator[str]:
    """What could not be scored, and why."""
    lost = {
        "sound": "Fréchet and kernel distance, inception score and variety of the sound",
        "video": "Fréchet and kernel distance, inception score and variety of the video",
        "image": "Fréchet and kernel distance and inception score of single frames",
        "pitch": "entropy of the pitch",
        "correspondence": "AUC and retrieval",
    }
    for role, what in lost.items():
        if role not in judges:
            yield f"There is no judge of {role}: without it there is no {what}."
    if not isinstance(data, Perceiver):
        yield (
            "This data has no oracle that reads what is seen and heard in a clip: of the scores of "
            "belonging together, only those of motion and of judges are there."
        )
    if not align:
        yield 'AV-Align needs librosa and OpenCV: pip install "soundsight[metrics]".'

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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from soundsight.contract import Model
from soundsight.data.loader import Dataset
from soundsight.data.perceived import Perceiver
from soundsight.evaluation import joint_readings
from soundsight.evaluation.bins import Bins
from soundsight.evaluation.extractors import Extractor
from soundsight.evaluation.joint_metrics import Real, Scorer
from soundsight.evaluation.joint_readings import Readings
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
        data: the split that the protocol names, already opened. If it has a method `perceive`, what
            is seen and heard is compared by it, otherwise only what moves and what sounds.
        train: the training split, for bins and the search for copies.
        protocol: how to evaluate.
        judges: trained networks by role, some or none of `ROLES`; what none is there for is left
            out, and noted.
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
    everyone = joint_readings.readers(judges, extractors, protocol.judges)
    judge = joint_readings.correspondence(judges, protocol.judges)
    align = all(find_spec(name) is not None for name in ALIGN_NEEDS)
    perceive = joint_readings.perceiver(data)
    plan = _plan(data, train, protocol)
    total = sum(len(part) for part in plan.values()) + protocol.clips * len(models)
    count = _Count(progress, total)

    def real(part: str, source: Dataset, **options: Any) -> Readings:
        clips = joint_readings.real(source, plan[part], protocol.batch_clips)
        return joint_readings.read(count(clips), everyone, **options)

    whole: dict[str, Any] = {
        "judge": judge,
        "perceive": perceive,
        "align": align,
        "shown": protocol.examples,
    }
    test, learned = real("test", data, **whole), real("train", train)
    other = real("other", data) if plan["other"] else learned.first(test.count)
    bins = Bins.fit(learned.spectra, bins=min(protocol.bins, learned.count), seed=protocol.seed)
    scorer = Scorer(Real(test, other, learned, bins), everyone, protocol, data.spec)
    rows: list[Row] = []
    examples = {REAL: test.shown}
    for name, model in models.items():
        clips = joint_readings.generated(model, data.spec, protocol)
        made = joint_readings.read(count(clips), everyone, **whole)
        rows += scorer.rows(name, made)
        examples[name] = made.shown
    rows += scorer.real_rows()
    return JointScores(
        protocol=protocol,
        spec=data.spec,
        rows=rows,
        models=list(models),
        judges=[r.judged for r in everyone] + ([judge.judged] if judge is not None else []),
        compared=_compared(plan, other),
        notes=list(_notes(judges, data, align)),
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


def _plan(data: Dataset, train: Dataset, protocol: JointProtocol) -> dict[str, list[int]]:
    """Which real clips are read, chosen at random.

    "other" are as many of the split as "test", and none of them; if there are not enough, none, and
    training clips stand in.
    """
    order = np.random.default_rng(protocol.seed).permutation(len(data)).tolist()
    n = min(protocol.clips, len(data))
    other = order[n : 2 * n] if len(data) >= 2 * n else []
    learned = np.random.default_rng(protocol.seed).permutation(len(train)).tolist()
    return {"test": order[:n], "other": other, "train": learned[: protocol.reference]}


def _compared(plan: Mapping[str, Sequence[int]], other: Readings) -> dict[str, Any]:
    """What the report says of the real clips."""
    return {
        "real_clips": len(plan["test"]),
        "training_clips": len(plan["train"]),
        "real_row": "other clips of the same split" if plan["other"] else "training clips",
        "real_row_clips": other.count,
        "indices": list(plan["test"]),
    }


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

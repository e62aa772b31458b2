"""What an evaluation of cross-modal generation leaves behind: its protocol, rows and examples."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated

from soundsight.evaluation.joint_scores import REAL, Judged
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.clip import Clip, ClipSpec

ROLES = ("image", "sound", "pitch", "correspondence")
"""What judges are asked for: the class by a picture, the class by a sound, the note that sounds,
and what belongs together."""
MADE = ("image", "sound")
"""What is generated, and the beginning of the metrics of it: "image_accuracy" is of pictures that
were generated from sounds, "sound_accuracy" of sounds that were generated from pictures."""
MAJORITY = "majority"
"""Name of the rows of always answering the most frequent class, or, of pitches, the note that is
right most often: the floor of an accuracy."""
CHANCE = "chance"
"""Name of the rows of blind guessing."""
SHUFFLED = " shuffled"
"""Suffix of the rows of a model that was given the condition of another clip, of another class, and
is scored as if it had been given the right one: does it listen at all? One output of each pair."""
LEAST_RECORDINGS = 6
"""Of fewer recordings nothing is claimed. If a difference is as likely above 0 as below, five all
lie on one side with p = 0.06, six with p = 0.03."""
CONTROLS = (REAL, MAJORITY, CHANCE)
"""Names of rows that no model may have."""
CLASS = "_class_"
"""Between an accuracy's name and the number of the class that it is of."""
COLUMNS = ("V", "A", "V-A", "GV-A", "GA-V")
"""What a model's own classifier is shown: a picture, a sound, both, a generated picture with the
sound it was made from, a generated sound with the picture it was made from."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class CrossmodalProtocol:
    """How pictures made from sounds, and sounds made from pictures, are evaluated.

    Raises:
        ValueError: if a value is out of range, or a judge's role is unknown.
    """

    kind: Literal["crossmodal"] = "crossmodal"
    """Models are given a picture or a sound and make the other."""
    clips: int = 1000
    """Number n of pairs, chosen at random from the split; as many as it has, if it has fewer."""
    split: Literal["train", "val", "test"] = "test"
    """Part of the data; only "test" was neither learned from nor tuned on."""
    num_samples: int = 5
    """Outputs K drawn for each pair. Accuracy, retrieval and pitch are means over them, variety is
    theirs; distances, the search for copies and what the world reads are of the first ones."""
    seed: int = 0
    """Seed of the choice of pairs, the noise, the shuffling, the permutations, the intervals."""
    judges: dict[str, str] = dataclass_field(default_factory=dict)
    """By role ("image", "sound", "pitch", "correspondence") the recipe of the judge."""
    extractors: tuple[str, ...] = ()
    """Published networks to judge by as well, "kind=/path/of/a/local/file"."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    resamples: int = 1000
    """Bootstrap resamples of the recordings behind each interval."""
    permutations: int = 9999
    """Pairings of pictures with foreign sounds behind each p-value."""
    reference: int = 5000
    """Most training clips among which copies are sought."""
    train_clips: int = 0
    """Training pairs on which accuracy is measured as well; 0: none."""
    validation_clips: int = 0
    """Validation pairs on which accuracy is measured while a model is trained, K = 1. The judges
    are trained before the model, where they are not there yet. 0: no validation, no judges."""
    examples: int = 8
    """Pairs that are shown, from as many classes as there are."""
    batch_clips: int = 50
    """Pairs drawn and read at a time; bounds the memory and does not change which are drawn."""

    def __post_init__(self) -> None:
        least = {"clips": 2, "num_samples": 1, "seed": 0, "resamples": 1, "permutations": 1}
        least |= {"reference": 2, "train_clips": 0, "validation_clips": 0, "examples": 0}
        least |= {"batch_clips": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {bound}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence} must lie between 0 and 1")
        for role in self.judges:
            if role not in ROLES:
                raise ValueError(f"judges: role {role!r} must be one of {', '.join(ROLES)}")


@dataclass(frozen=True)
class Examples:
    """A few pairs, and what was made of them."""

    pairs: Clip
    """Real pairs, with their labels if there are any."""
    made: dict[str, dict[str, Clip]]
    """By "image" or "sound" and by model: what was generated, K for each pair in a row."""
    nearest: dict[str, dict[str, Clip]]
    """Likewise, by "image" or "sound" and model: the training clip whose features are nearest to
    the first output of each pair, where a judge has features."""


@dataclass(frozen=True)
class CrossmodalScores:
    """Result of an evaluation."""

    protocol: CrossmodalProtocol
    """What was asked for; `compared` says how many pairs there were."""
    spec: ClipSpec
    """Rates and sizes of the pairs."""
    rows: list[Row]
    """Metrics are explained at `soundsight.evaluation.crossmodal_metrics`."""
    models: list[str]
    """Names of the models that were handed in."""
    judges: list[Judged]
    """Everyone who judged."""
    classes: list[str]
    """Names of the classes, in the order of their numbers."""
    compared: dict[str, Any]
    """Numbers of pairs, recordings, classes and training clips, and which pairs."""
    notes: list[str]
    """What was not scored, or otherwise than asked for, and why, a line each."""
    examples: Examples | None
    """None if no examples were asked for."""

    def row(self, name: str, metric: str, rule: str = NO_RULE) -> Row:
        """The one row with these keys.

        Raises:
            ValueError: if there is none.
        """
        for row in self.rows:
            if (row.name, row.metric, row.rule) == (name, metric, rule):
                return row
        raise ValueError(f"no row ({name!r}, {metric!r}, {rule!r})")

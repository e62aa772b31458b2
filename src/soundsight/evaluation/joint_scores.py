"""What an evaluation of generated clips with sound leaves behind: its protocol and tidy rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated

from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.clip import Clip, ClipSpec

ROLES = ("sound", "video", "image", "pitch", "correspondence")
"""What judges are asked for. The first three tell classes by a clip's sound, its video, or one of
its frames; `pitch` tells the note that sounds, `correspondence` what belongs together."""
REAL = "real"
"""Name of the rows of real clips: what every score says of clips that nobody generated."""
REPAIRED = " re-paired"
"""Suffix of the rows of a model's clips whose pictures were given the sounds of others of them."""
SEEDS = "seeds"
"""Rule of the rows of a group: the mean over runs that differ only in their seed."""
P_VALUE = "_p"
"""Suffix of the metric that holds the p-value of another."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class JointProtocol:
    """How clips that are generated from noise are evaluated; stored with every score.

    Raises:
        ValueError: if a value is out of range, or a judge's role is unknown.
    """

    kind: Literal["joint"] = "joint"
    """Models are given nothing and make pictures with sound."""
    clips: int = 1000
    """Number n of clips drawn from each model, and of real clips they are compared with; of both as
    many as the split has, if it has fewer."""
    split: Literal["train", "val", "test"] = "test"
    """Part of the data that is compared with; only "test" was neither learned from nor tuned on."""
    reference: int = 5000
    """Most training clips behind the bins and the search for copies; copies of others are not
    found."""
    seed: int = 0
    """Seed of the noise, the choice of real clips, the bins, the permutations, the intervals."""
    judges: dict[str, str] = dataclass_field(default_factory=dict)
    """By role ("sound", "video", "image", "pitch", "correspondence") the recipe of the judge."""
    extractors: tuple[str, ...] = ()
    """Published networks to judge by as well, "kind=/path/of/a/local/file"."""
    bins: int = 50
    """Number of bins of the sounds' spectrograms (NDB); fewer if fewer than five different training
    sounds are there for each."""
    permutations: int = 9999
    """Pairings of pictures with foreign sounds behind each p-value."""
    resamples: int = 1000
    """Bootstrap resamples of the clips behind each interval."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    examples: int = 8
    """Clips of each model that are shown."""
    batch_clips: int = 50
    """Clips drawn and read at a time; bounds the memory and does not change which are drawn."""

    def __post_init__(self) -> None:
        least = {"clips": 2, "reference": 2, "seed": 0, "bins": 2, "permutations": 1}
        least |= {"resamples": 1, "examples": 0, "batch_clips": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {bound}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence} must lie between 0 and 1")
        for role in self.judges:
            if role not in ROLES:
                raise ValueError(f"judges: role {role!r} must be one of {', '.join(ROLES)}")


class Judged(NamedTuple):
    """Who judged: a score without it is void."""

    name: str
    """Of a judge its role, of an extractor its name."""
    part: str
    """What it looks at: "audio", "video", "image", or "audio, video" for both."""
    recipe: str | None
    """What it was trained by; None: it was not trained here."""
    sha256: str
    """Of its weights."""


@dataclass(frozen=True)
class JointScores:
    """Result of an evaluation."""

    protocol: JointProtocol
    """What was asked for; `compared` says how many clips and bins there were."""
    spec: ClipSpec
    """Rates and sizes of the clips."""
    rows: list[Row]
    models: list[str]
    """Names of the models that were handed in."""
    judges: list[Judged]
    """Everyone who judged."""
    compared: dict[str, Any]
    """Numbers of clips and bins that were used, and which clips stand in the row "real"."""
    notes: list[str]
    """What was not scored, or otherwise than asked for, and why, a line each."""
    examples: dict[str, Clip]
    """By model, and under "real": the first clips, on the CPU."""

    def row(self, name: str, metric: str, rule: str = NO_RULE) -> Row:
        """The one row with these keys.

        Raises:
            ValueError: if there is none.
        """
        for row in self.rows:
            if (row.name, row.metric, row.rule) == (name, metric, rule):
                return row
        raise ValueError(f"no row ({name!r}, {metric!r}, {rule!r})")


def group_rows(rows: Iterable[Row], groups: Mapping[str, Sequence[str]]) -> list[Row]:
    """Means over runs that differ only in their seed, with how much the runs differ.

    Args:
        rows: of single runs.
        groups: by the name of the group, the names of its runs.

    Returns:
        For each group and metric that all its runs have, a row with the rule "seeds": the mean over
        the runs, minus and plus their sample standard deviation (NaN for a single run), and n the
        number of runs. Likewise for the re-paired clips; p-values have no mean.

    Raises:
        ValueError: if a group is empty, or has a run without rows.
    """
    found = {(row.name, row.metric): row for row in rows if row.rule == NO_RULE}
    names = {name for name, _ in found}
    metrics = [m for m in dict.fromkeys(m for _, m in found) if not m.endswith(P_VALUE)]
    made = []
    for group, runs in groups.items():
        if not runs:
            raise ValueError(f"group {group!r} has no runs; it needs at least one")
        for run in runs:
            if run not in names:
                raise ValueError(f"group {group!r}: no run {run!r}; there are {sorted(names)}")
        for suffix in ("", REPAIRED):
            for metric in metrics:
                these = [found.get((run + suffix, metric)) for run in runs]
                known = [row for row in these if row is not None]
                if len(known) == len(runs):
                    made.append(_group_row(group + suffix, metric, known))
    return made


def _group_row(name: str, metric: str, rows: Sequence[Row]) -> Row:
    values = np.array([row.value for row in rows])
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return Row(name, metric, SEEDS, None, mean, mean - sd, mean + sd, len(rows), rows[0].seed)

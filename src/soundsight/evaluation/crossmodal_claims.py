"""What an evaluation of cross-modal generation shows: does the model listen, or look, at all?"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from soundsight.evaluation.crossmodal_scores import (
    CHANCE,
    LEAST_RECORDINGS,
    MADE,
    MAJORITY,
    SHUFFLED,
)
from soundsight.evaluation.joint_claims import entries
from soundsight.evaluation.scores import NO_RULE, Row

Verdict = Literal["holds", "partly", "not shown", "does not hold"]
"""`holds`: the whole interval of every run lies on the right side. `partly`: of some runs.
`does not hold`: of every run on the wrong side. `not shown`: neither, or the pairs are of too few
recordings; more of these might decide."""


class Claim(NamedTuple):
    """One sentence of the summary."""

    name: str
    """Model or group of runs."""
    text: str
    verdict: Verdict
    evidence: list[Row]
    """Of each run."""
    level: float
    """What the rows have to exceed."""

    def numbers(self) -> dict[str, Any]:
        """The same for JSON."""
        rows = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in found.items()}
            for found in (row._asdict() for row in self.evidence)
        ]
        return self._asdict() | {"evidence": rows}


def make_claims(
    rows: Sequence[Row],
    models: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    *,
    recordings: int,
) -> list[Claim]:
    """What the scores show of each model, or of each group of runs.

    Args:
        rows: of single runs.
        models: names in the order of the tables.
        groups: by name, the names of runs that differ only in their seed.
        recordings: how many the pairs were cut from; of fewer than `LEAST_RECORDINGS` nothing is
            shown, whatever the intervals are.
    """
    found = {(row.name, row.metric): row for row in rows if row.rule == NO_RULE}
    claims: list[Claim] = []
    for name, runs in entries(models, groups).items():
        for role in MADE:
            claims += _of_role(found, name, runs, role)
    if recordings < LEAST_RECORDINGS:
        return [claim._replace(verdict="not shown") for claim in claims]
    return claims


def _of_role(
    found: Mapping[tuple[str, str], Row], name: str, runs: Sequence[str], role: str
) -> Iterator[Claim]:
    """Claims about what is made in one direction."""
    given, verb, made = ("sound", "listens", "pictures")
    if role == "sound":
        given, verb, made = ("picture", "looks", "sounds")
    metric = f"{role}_accuracy"
    questions: list[tuple[str, str, Callable[[str], str], float | None]] = [
        (
            f"{verb}: its {made} show the class of its own {given} more often than when it is "
            f"given the {given} of another class",
            metric,
            lambda run: f"{run} - {run}{SHUFFLED}",
            0.0,
        ),
        (
            f"its {made} are right more often than always answering the most frequent class",
            metric,
            lambda run: f"{run} - {MAJORITY}",
            0.0,
        ),
        (
            f"its {made} are more like the given {given} than like another one",
            f"{role}_auc",
            lambda run: run,
            _value(found, CHANCE, f"{role}_auc"),
        ),
    ]
    for text, asked, called, level in questions:
        evidence = [row for run in runs if (row := found.get((called(run), asked))) is not None]
        if level is not None and len(evidence) == len(runs):
            yield Claim(name, f"{name} {text}" if text.startswith(verb) else f"{name}: {text}",
                        _verdict(evidence, level), evidence, level)  # fmt: skip


def _value(found: Mapping[tuple[str, str], Row], name: str, metric: str) -> float | None:
    row = found.get((name, metric))
    return None if row is None else row.value


def _verdict(rows: Sequence[Row], level: float) -> Verdict:
    above = [row.low > level for row in rows]  # False for NaN: one recording shows nothing.
    if all(above):
        return "holds"
    if all(row.high < level for row in rows):
        return "does not hold"
    return "partly" if any(above) else "not shown"

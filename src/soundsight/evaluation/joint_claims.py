"""What an evaluation of generated clips shows: does the picture belong to the sound?"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

from soundsight.evaluation.joint_scores import P_VALUE, REAL, REPAIRED, JointProtocol, JointScores
from soundsight.evaluation.scores import NO_RULE, Row

Verdict = Literal["holds", "partly", "not shown", "does not hold"]
"""`holds`: shown by every score, in every run. `partly`: by some. `not shown`: by none, which more
clips might change. `does not hold`: the numbers are against it."""
ALPHA = 0.01
"""Level of the tests of one claim, together: each p is compared with its share of it, `runs_shown`.
"""
COUPLINGS = {
    "pitch_place": "place and pitch",
    "class_match": "class",
    "onset_iou": "moments",
    "lag_s": "motion and sound in time",
    "auc": "the judge of correspondence",
}
"""Scores that a claim rests on, one of each kind, and what they compare."""
CHANCE_BINS = 0.05
"""Share of bins that differ though nothing does."""
COPIES = 0.05
"""Share of copies that is too much."""
SURE = 3.0
"""Standard deviations above which a value is no chance."""


class Evidence(NamedTuple):
    """One score of a claim."""

    metric: str
    what: str
    value: float
    """Mean over the runs."""
    chance: float | None
    """With exchanged sounds; None where that says nothing."""
    real: float
    """Of real clips."""
    p: tuple[float, ...]
    """Of each run."""
    shown: int
    """Number of runs that show it."""
    level: float | None
    """What p was compared with; None without a test."""


class Claim(NamedTuple):
    """One sentence of the summary."""

    name: str
    """Model or group of runs."""
    text: str
    verdict: Verdict
    evidence: tuple[Evidence, ...]

    def numbers(self) -> dict[str, Any]:
        """The same for JSON."""
        return self._asdict() | {"evidence": [one._asdict() for one in self.evidence]}


def entries(models: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What is judged: each group of several runs, and each model that is in none.

    Args:
        models: names in the order of the tables.
        groups: by name, the names of their runs; those of a single run are no groups.

    Returns:
        Names of the runs, by the name of the group or model, in the order of their first run.
    """
    several = {name: list(runs) for name, runs in groups.items() if len(runs) > 1}
    first = {runs[0]: name for name, runs in several.items()}
    inside = {run for runs in several.values() for run in runs}
    found: dict[str, list[str]] = {}
    for model in models:
        if model in first:
            found[first[model]] = several[first[model]]
        elif model not in inside:
            found[model] = [model]
    return found


def make_claims(scores: JointScores, groups: Mapping[str, Sequence[str]]) -> list[Claim]:
    """What the scores show of each model, or of each group of runs.

    Args:
        scores: of an evaluation.
        groups: as of `entries`.

    Returns:
        First, for all of them, whether the picture belongs to the sound; then the rest.
    """
    found = Found(scores.rows)
    who = entries(scores.models, groups)
    claims = [_belongs(found, name, runs, scores.protocol) for name, runs in who.items()]
    for name, runs in who.items():
        claims += _others(found, name, runs, scores.compared)
    return claims


class Found:
    """Rows of single runs by name and metric."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows = {(r.name, r.metric): r for r in rows if r.rule == NO_RULE}

    def value(self, name: str, metric: str) -> float | None:
        """The value of one row, if there is it."""
        row = self.rows.get((name, metric))
        return None if row is None else row.value

    def mean(self, names: Sequence[str], metric: str) -> float | None:
        """The mean over the names that have this row, if any has."""
        values = [v for name in names if (v := self.value(name, metric)) is not None]
        return sum(values) / len(values) if values else None

    def couplings(self, runs: Sequence[str]) -> list[str]:
        """Scores of belonging together that these runs have, one of each kind."""
        there = [m for m in COUPLINGS if self.mean(runs, m) is not None]
        if "onset_iou" in there and "lag_s" in there:
            there.remove("lag_s")  # Two scores of one thing; the lag says less.
        return there

    def asked(self, runs: Sequence[str]) -> list[str]:
        """Those of them on which a verdict rests: real clips pass their test."""
        there = self.couplings(runs)
        return [m for m in there if (self.value(REAL, m + P_VALUE) or 0.0) <= ALPHA]


def runs_shown(p: Sequence[float], scores: int) -> tuple[int, float]:
    """In how many runs a score shows that picture and sound belong together.

    If they do in no run, at most about `ALPHA` of all verdicts say otherwise: all runs have to be
    below a share of `ALPHA` for each score, or some of them below a share for each score and run.

    Args:
        p: p-values of the score, of each run.
        scores: number of scores that the verdict rests on.

    Returns:
        The number of runs, and the level that p was compared with.
    """
    together = ALPHA / max(1, scores)
    if max(p) <= together:
        return len(p), together
    each = together / len(p)
    return sum(one <= each for one in p), each


def _belongs(found: Found, name: str, runs: Sequence[str], protocol: JointProtocol) -> Claim:
    """Does the generated picture belong to the generated sound?"""
    usable = found.asked(runs)
    unsaid = f"{name}: whether picture and sound belong together cannot be said here: "
    if not usable:
        there = found.couplings(runs)
        why = "no score tells it" if not there else "not even the real clips' seem to, by any score"
        return Claim(name, unsaid + why, "not shown", ())
    evidence = tuple(_evidence(found, runs, m, len(usable)) for m in usable)
    least, level = 1 / (1 + protocol.permutations), ALPHA / len(usable)
    few = f"{protocol.permutations} permutations are too few"
    if least > level:
        return Claim(name, f"{unsaid}{few} for any verdict", "not shown", evidence)
    few = f"; {few} to tell it of single runs" if least > level / len(runs) else ""
    whole = [e.what for e in evidence if e.shown == len(runs)]
    some = [
        f"{e.what} ({e.shown} of {len(runs)} runs)" for e in evidence if 0 < e.shown < len(runs)
    ]
    none = [e.what for e in evidence if not e.shown]
    if len(whole) == len(evidence):
        text = f"{name}: the generated picture belongs to the generated sound ({_list(whole)})"
        return Claim(name, text, "holds", evidence)
    if whole or some:
        text = f"{name}: picture and sound belong together in {_list(whole + some)}"
        text += f"; not shown for {_list(none)}" if none else ""
        return Claim(name, text + few, "partly", evidence)
    text = (
        f"{name}: nothing shows that the generated picture belongs to the generated sound; with "
        "sounds exchanged among its clips it scores as well"
    )
    return Claim(name, text + few, "not shown", evidence)


def _evidence(found: Found, runs: Sequence[str], metric: str, scores: int) -> Evidence:
    p = tuple(found.rows[run, metric + P_VALUE].value for run in runs)
    value, real = found.mean(runs, metric), found.value(REAL, metric)
    assert value is not None
    assert real is not None
    chance = found.mean([run + REPAIRED for run in runs], metric)
    shown, level = runs_shown(p, scores)
    return Evidence(metric, COUPLINGS[metric], value, chance, real, p, shown, level)


def _others(
    found: Found, name: str, runs: Sequence[str], compared: Mapping[str, Any]
) -> Iterator[Claim]:
    """How sounds are spread, which classes there are, and copies."""
    spread = _plain(found, runs, {"ndb": "bins of sounds that differ"})
    if spread:
        # So many bins differ by chance, in all but one set of real clips of a hundred.
        k, share = compared["bins"], CHANCE_BINS
        most = k * share + NormalDist().inv_cdf(1 - ALPHA) * (k * share * (1 - share)) ** 0.5
        holds = all(one.value <= max(most, one.real) for one in spread)
        yield _claim(name, "the sounds are spread as real ones are", holds, spread)
    classes = {"classes_audio": "classes heard", "classes_video": "classes seen"}
    if every := _plain(found, runs, classes):
        holds = all(one.value >= one.real for one in every)
        yield _claim(name, "there are clips of every class that real clips have", holds, every)
    words = {"memory_{}": "nearer to training clips ({})", "copies_{}": "copies ({})"}
    parts = {"audio": "sound", "video": "video"}
    wanted = {k.format(p): v.format(w) for p, w in parts.items() for k, v in words.items()}
    if copies := _plain(found, runs, wanted):
        n = min(found.rows[runs[0], copies[0].metric].n, found.rows[REAL, copies[0].metric].n)
        # The deviation of the AUC of n clips against n that are no different.
        highest = 0.5 + SURE * ((2 * n + 1) / (12 * n * n)) ** 0.5
        holds = all(
            one.value <= (highest if one.metric.startswith("memory") else COPIES) for one in copies
        )
        copies = tuple(c for c in copies if c.metric.startswith("memory") or c.value > COPIES)
        text = (
            f"no copies are found among {looked_at(compared)}: clips are no nearer to these than "
        )
        text += "unseen real ones"
        yield _claim(name, text, holds, copies)


def looked_at(compared: Mapping[str, Any]) -> str:
    """How many of the training clips were searched for copies, in words."""
    n, m = compared["training_clips"], compared["training_clips_in_all"]
    return f"all {m:,} training clips" if n == m else f"{n:,} of {m:,} training clips"


def _claim(name: str, text: str, holds: bool, evidence: tuple[Evidence, ...]) -> Claim:
    return Claim(name, f"{name}: {text}", "holds" if holds else "does not hold", evidence)


def _plain(found: Found, runs: Sequence[str], wanted: Mapping[str, str]) -> tuple[Evidence, ...]:
    """Scores without a test, of those that there are, by metric what they say."""
    there = []
    for metric, what in wanted.items():
        value, real = found.mean(runs, metric), found.value(REAL, metric)
        if value is not None and real is not None:
            there.append(Evidence(metric, what, value, None, real, (), 0, None))
    return tuple(there)


def _list(words: Sequence[str]) -> str:
    """Words in a row: a; a and b; a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))

"""A table over several trainings: scores of runs that differ in their seed, joined by row.

Every run is scored alone, by `evaluate_forecast`, on the same clips; here its numbers per clip are
kept on disk, joined over the seeds of a row, and compared between rows. An interval says how far a
mean may be off because only these clips were looked at; that other seeds might have come out
differently is told beside it, by each seed's own mean and verdict.
"""

import io
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import UInt8

from soundsight.evaluation.claims import Claim, Judged, Verdict, verdict
from soundsight.evaluation.forecasters import REAL, SHUFFLED
from soundsight.evaluation.scores import (
    CONTROLS,
    ForecastProtocol,
    Key,
    Row,
    Scores,
    make_rows,
)
from soundsight.evaluation.writing import write_file

FORMAT = 1
"""Version of the layout of kept scores."""


class Published(NamedTuple):
    """What a paper reports for a row."""

    frames: tuple[int, ...]
    """1-based frames of the whole clip, in the paper's setting."""
    ssim: tuple[float, ...]
    psnr: tuple[float, ...]
    """Decibels."""


@dataclass(frozen=True)
class RunScores:
    """Numbers of one run and of the controls, per clip."""

    about: dict[str, Any]
    """What they were made from, JSON-able: protocol, recipe, weights, indices of the clips."""
    per_clip: dict[Key, np.ndarray]
    """Shape (n, T-F) or (n,), by (name, metric, rule)."""
    strips: dict[str, UInt8[np.ndarray, "e t h w c"]]
    """Frames of example clips by name: what happened as `REAL`, and each forecaster's future that
    is most like it."""


def keep(scores: Scores, about: dict[str, Any]) -> RunScores:
    """What is kept of an evaluation of one run.

    Args:
        scores: what `evaluate_forecast` returned.
        about: what it was made from, JSON-able.
    """
    frames: dict[str, list[np.ndarray]] = {}
    for example in scores.examples:
        clips = {REAL: example.truth}
        clips |= {name: kinds["best"].clip for name, kinds in example.futures.items()}
        for name, clip in clips.items():
            assert clip.video is not None
            pixels = (clip.video[0].clamp(0, 1) * 255).round().to(torch.uint8)
            frames.setdefault(name, []).append(pixels.permute(0, 2, 3, 1).numpy())
    strips = {name: np.stack(clips) for name, clips in frames.items()}
    return RunScores({**about, "indices": scores.indices}, scores.per_clip, strips)


def save(scores: RunScores, path: Path) -> None:
    """Write them as one file, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    header = json.dumps({"format": FORMAT, "about": scores.about}, default=str)
    arrays = {"header": np.array(header)}
    arrays |= {"scores|" + "|".join(key): value for key, value in scores.per_clip.items()}
    arrays |= {"strips|" + name: value for name, value in scores.strips.items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_file(path, buffer.getvalue())


def read(path: Path) -> RunScores:
    """What `save` wrote.

    Raises:
        ValueError: naming the file, if it is none of those.
        OSError: if it cannot be read.
    """
    per_clip, strips = {}, {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            if header["format"] != FORMAT:
                raise ValueError(f"layout {header['format']}, this is of {FORMAT}")
            for name in arrays.files:
                kind, _, rest = name.partition("|")
                if kind == "scores":
                    who, metric, rule = rest.split("|")
                    per_clip[who, metric, rule] = arrays[name]
                elif kind == "strips":
                    strips[rest] = arrays[name]
        return RunScores(header["about"], per_clip, strips)
    except (KeyError, TypeError, ValueError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not scores that a suite has kept: {error}") from None


# ---- Joining the seeds ---------------------------------------------------------------------------


class SuiteJudged(NamedTuple):
    """A claim with its evidence over all seeds, and seed by seed."""

    judged: Judged
    """By the means over the seeds."""
    seeds: dict[int, Verdict]
    """By each seed that both rows have, the two trained with it against each other."""
    differences: dict[int, float]
    """The difference in each of these seeds."""


@dataclass(frozen=True)
class SuiteScores:
    """All numbers of a suite."""

    protocol: ForecastProtocol
    names: list[str]
    """Of the rows, in the order of the table."""
    seeds: dict[str, list[int]]
    """Of the trainings behind each row."""
    rows: list[Row]
    """Means over seeds by row, its shuffled double and the controls; each seed's own, called
    `seed_name`; and the differences that the claims rest on."""
    claims: list[SuiteJudged]
    runs: dict[str, dict[int, RunScores]]

    def value(self, name: str, metric: str, rule: str, frame: int | None = None) -> Row | None:
        """The one row with these keys, or None."""
        return self._index.get((name, metric, rule, frame))

    @property
    def clips(self) -> int:
        """Number of clips that every run was scored on."""
        first = self.runs[self.names[0]][self.seeds[self.names[0]][0]]
        return len(first.about["indices"])

    @cached_property
    def _index(self) -> dict[tuple[str, str, str, int | None], Row]:
        return {row[:4]: row for row in self.rows}


def seed_name(name: str, seed: int) -> str:
    """What the numbers of one seed of a row, or of its shuffled double, are called."""
    row = name.removesuffix(SHUFFLED)
    return f"{row}, seed {seed}{name[len(row) :]}"


def is_seed(name: str) -> bool:
    """Is it a name that `seed_name` made?"""
    return ", seed " in name


def join(
    runs: Mapping[str, Mapping[int, RunScores]],
    protocol: ForecastProtocol,
    claims: Iterable[Claim] = (),
) -> SuiteScores:
    """Rows over all seeds, and whether the table shows what it should.

    Args:
        runs: by row and seed.
        protocol: by which all of them were scored.
        claims: about rows, their shuffled doubles and controls; those about rows that are not
            there, or in a metric that was not computed, are left out.

    Returns:
        Means and differences with their intervals over clips.

    Raises:
        ValueError: if two runs were scored on other clips, or the controls differ between them by
            more than rounding: then something else differs, too.
    """
    first = next(iter(next(iter(runs.values())).values()))
    for row, by_seed in runs.items():
        for seed, one in by_seed.items():
            _check_alike(first, one, f"row {row!r}, seed {seed}")
    per_clip = {k: v for k, v in first.per_clip.items() if k[0] in (*CONTROLS, REAL)}
    for row, by_seed in runs.items():
        per_clip |= _joined(row, by_seed)
    wanted = [c for c in claims if _computed(c, per_clip)]
    pairs = dict.fromkeys(pair for c in wanted for pair in _pairs(c, runs))
    rows = make_rows(per_clip, list(runs), protocol, pairs=list(pairs))
    found = {row[:4]: row for row in rows}
    return SuiteScores(
        protocol=protocol,
        names=list(runs),
        seeds={row: sorted(by_seed) for row, by_seed in runs.items()},
        rows=rows,
        claims=[_judged(c, runs, found) for c in wanted],
        runs={row: dict(by_seed) for row, by_seed in runs.items()},
    )


def _check_alike(first: RunScores, other: RunScores, what: str) -> None:
    """Refuse a run whose controls did not score the same, to the last bit."""
    if first.about["indices"] != other.about["indices"]:
        raise ValueError(f"{what} was scored on other clips than the first row")
    for key, values in first.per_clip.items():
        theirs = other.per_clip.get(key, np.empty(0))
        if key[0] in (*CONTROLS, REAL) and not _same(values, theirs):
            raise ValueError(
                f"{what}: the control {key[0]!r} scores otherwise in {key[1]} than beside the "
                f"first row, so data or protocol differ: delete its file in scores/ and go on"
            )


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal up to the rounding of another machine or number of threads."""
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-6, atol=1e-9)


def _joined(row: str, by_seed: Mapping[int, RunScores]) -> dict[Key, np.ndarray]:
    """A row's numbers per clip: the means over its seeds, and each seed's own."""
    found: dict[Key, np.ndarray] = {}
    for name in (row, row + SHUFFLED):
        keys = [k for k in next(iter(by_seed.values())).per_clip if k[0] == name]
        for key in keys:
            seeds = {seed: one.per_clip[key] for seed, one in by_seed.items()}
            found[key] = np.mean(list(seeds.values()), axis=0)
            for seed, values in seeds.items():
                found[seed_name(name, seed), key[1], key[2]] = values
    return found


def _computed(claim: Claim, per_clip: Mapping[Key, np.ndarray]) -> bool:
    """Whether both sides of a claim have the metric that it rests on."""
    metric = claim.metric.removesuffix("_first_half")
    return all((name, metric, claim.rule) in per_clip for name in (claim.better, claim.worse))


def _pairs(claim: Claim, runs: Mapping[str, Mapping[int, RunScores]]) -> Iterable[tuple[str, str]]:
    """The two of a claim, and the two of each seed."""
    yield claim.better, claim.worse
    for seed in _common_seeds(claim, runs):
        yield _of_seed(claim.better, seed, runs), _of_seed(claim.worse, seed, runs)


def _common_seeds(claim: Claim, runs: Mapping[str, Mapping[int, RunScores]]) -> list[int]:
    """Seeds that both rows of a claim were trained with; a control has every seed."""
    sides = [runs[r] for n in (claim.better, claim.worse) if (r := n.partition(":")[0]) in runs]
    return sorted(set.intersection(*(set(side) for side in sides))) if sides else []


def _of_seed(name: str, seed: int, runs: Mapping[str, Any]) -> str:
    return seed_name(name, seed) if name.partition(":")[0] in runs else name


def _judged(
    claim: Claim, runs: Mapping[str, Mapping[int, RunScores]], rows: Mapping[tuple, Row]
) -> SuiteJudged:
    """A claim's verdict over all seeds, and in each of them."""

    def look(better: str, worse: str) -> Judged:
        row = rows[f"{better} - {worse}", claim.metric, claim.rule, claim.frame]
        return Judged(claim, row, verdict(row))

    seeds = {
        seed: look(_of_seed(claim.better, seed, runs), _of_seed(claim.worse, seed, runs))
        for seed in _common_seeds(claim, runs)
    }
    return SuiteJudged(
        look(claim.better, claim.worse),
        {seed: one.verdict for seed, one in seeds.items()},
        {seed: one.row.value for seed, one in seeds.items()},
    )


def by_seed(scores: SuiteScores, name: str, metric: str, rule: str, frame: int | None) -> list[Row]:
    """The numbers of a row in each of its seeds.

    Args:
        scores: of a suite.
        name: of a row or its shuffled double; a control has none.
        metric: as in its rows.
        rule: as in its rows.
        frame: 1-based, or None.
    """
    seeds: Sequence[int] = scores.seeds.get(name.removesuffix(SHUFFLED), [])
    found = (scores.value(seed_name(name, seed), metric, rule, frame) for seed in seeds)
    return [row for row in found if row is not None]

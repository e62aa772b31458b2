"""Write an evaluation to a folder: numbers for machines, a page for people.

`scores.json`: title, protocol once, claims, tidy rows; `scores.csv`: the rows; `index.html`: a page
that opens from disk; `curves/`, `examples/`: its pictures and players. Every file appears whole or
not at all.
"""

import csv
import dataclasses
import io
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any

from soundsight.evaluation import page
from soundsight.evaluation.claims import Claim, Judged, default_claims, judge
from soundsight.evaluation.figures import curve_files, film_strip, png, strip_frames
from soundsight.evaluation.forecasters import SHUFFLED, TRIVIAL
from soundsight.evaluation.labels import name_label
from soundsight.evaluation.scores import (
    RULES,
    Example,
    Future,
    Row,
    Scores,
    is_control,
    is_difference,
)
from soundsight.media.clip import Clip

VIEW_SIDE = 192
"""Least side of a frame in a player, pixels; smaller ones are enlarged by a whole number."""
STRIP_SIDE = 56
"""Least side of a frame in a film strip, pixels."""
FORMAT = 1
"""Version of the layout of scores.json."""


def write_report(
    scores: Scores,
    out: str | Path,
    *,
    title: str,
    protocol: Mapping[str, Any] | None = None,
    weights_sha256: str | None = None,
    claims: Sequence[Claim] | None = None,
    examples: Sequence[Example] | None = None,
) -> Path:
    """Write the report of one evaluation.

    Args:
        scores: what `evaluate_forecast` returned.
        out: folder of the report, made if missing; files of an older report are replaced.
        title: heading of the page, any text.
        protocol: anything that belongs beside the numbers (data, recipe, step), JSON-able.
        weights_sha256: hash of the evaluated weights.
        claims: what the evaluation should show; `default_claims` if None.
        examples: clips to show; those kept in the scores if None.

    Returns:
        Path of the page.

    Raises:
        ValueError: if a claim is about a pair that was not compared.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    judged = judge(scores, default_claims(scores) if claims is None else claims)
    block = _protocol_block(scores, protocol or {}, weights_sha256)
    rules = _shown_rules(scores.protocol.rules, scores.num_samples)
    curves = curve_files([r for r in scores.rows if r.rule in rules], seen=scores.protocol.seen)
    for name, content in curves.items():
        _write(out / "curves" / name, content)
    shown = [
        _write_example(example, i, scores, out)
        for i, example in enumerate(scores.examples if examples is None else examples)
    ]
    _write_scores(out, title, block, judged, scores.rows)
    sections = [
        ("In short", page.claims_section(judged)),
        ("Scores", page.headline_section(scores.rows, rules, scores.num_samples)),
        ("Frame by frame", page.curves_section(rules, curves, "curves")),
        ("Examples", page.examples_section(shown)),
        ("Diversity and more", page.other_section(scores.rows)),
        ("How to read this", page.reading_section(scores.rows, rules)),
        ("Every frame", page.frames_section(scores.rows, rules)),
        ("Protocol", page.protocol_section(block)),
    ]
    _write(out / "index.html", page.document(title, _lead(scores), sections))
    return out / "index.html"


def _lead(scores: Scores) -> str:
    """What was done, in two sentences."""
    p, fps = scores.protocol, scores.spec.fps
    return (
        f"{p.clips} clips of the {p.split} split: the first {p.seen} frames ({p.seen / fps:.2g} s) "
        f"and the sound of all {p.frames} frames are given, the other {p.horizon} frames "
        f"({p.horizon / fps:.2g} s) are predicted. "
        f"Whatever is random draws {p.num_samples} future{'s' * (p.num_samples > 1)} of each clip."
    )


def _shown_rules(rules: Sequence[str], num_samples: Mapping[str, int]) -> list[str]:
    """With one future each, all rules say the same: one is enough on a page."""
    return list(rules) if max(num_samples.values(), default=1) > 1 else list(rules)[:1]


def _protocol_block(
    scores: Scores, extra: Mapping[str, Any], weights_sha256: str | None
) -> dict[str, Any]:
    """All that is needed to know what the numbers mean, and to get them again."""
    libraries = {name: version(name) for name in ("soundsight", "torch", "numpy", "matplotlib")}
    return {
        **dataclasses.asdict(scores.protocol),
        "clip": dataclasses.asdict(scores.spec),
        "models": scores.models,
        "futures_per_clip": scores.num_samples,
        "weights_sha256": weights_sha256,
        **extra,
        "versions": {"python": platform.python_version(), **libraries},
        "indices": scores.indices,
    }


def _write_scores(
    out: Path,
    title: str,
    protocol: Mapping[str, Any],
    judged: Iterable[Judged],
    rows: Sequence[Row],
) -> None:
    """scores.json and scores.csv."""
    claims = [
        {**claim._asdict(), **dict(zip(Row._fields[4:], row[4:], strict=True)), "verdict": verdict}
        for claim, row, verdict in judged
    ]
    found = {
        "format": FORMAT,
        "title": title,
        "protocol": protocol,
        "claims": claims,
        "rows": [row._asdict() for row in rows],
    }
    _write(out / "scores.json", json.dumps(found, indent=1, allow_nan=False, default=str) + "\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows)
    _write(out / "scores.csv", text.getvalue())


def _write_example(example: Example, number: int, scores: Scores, out: Path) -> page.Shown:
    """Players and film strips of one clip."""
    seen, frames = scores.protocol.seen, scores.protocol.frames
    chosen = strip_frames(seen, frames)
    players = []
    for i, (title, note, clip) in enumerate(_players(example, scores)):
        stem = f"examples/{number + 1:02d}_{i + 1:02d}"
        assert clip.video is not None
        scale = -(-STRIP_SIDE // clip.spec.size)
        strip = film_strip(clip.video[0], chosen, seen=seen, scale=scale)
        _write(out / f"{stem}.png", png(strip))
        _encode(clip, out / f"{stem}.mp4")
        players.append(page.Player(title, note, f"{stem}.mp4", f"{stem}.png"))
    given = ", ".join(str(k + 1) for k in chosen if k < seen)
    predicted = ", ".join(str(k + 1) for k in chosen if k >= seen)
    return page.Shown(
        f"Clip {example.index}",
        seen / scores.spec.fps,
        f"Film strips: frames {given} (given), then {predicted} (predicted).",
        players,
    )


def _players(example: Example, scores: Scores) -> Iterator[tuple[str, str, Clip]]:
    """Title, note and clip of each player: the truth first, then every model's futures."""
    yield "What happened", "the real clip", example.truth
    for name, futures in example.futures.items():
        if name in TRIVIAL:
            continue
        drawn = scores.num_samples[name]
        kinds: dict[str, Future] = futures
        if name.endswith(SHUFFLED):
            kinds = {k: v for k, v in futures.items() if k == "random"} or futures
        for kind, future in kinds.items():
            which = f"{kind} of {drawn} futures" if drawn > 1 else "its one future"
            note = f"SSIM with what happened: {future.ssim:.3f}"
            if drawn > 1:
                note += f"; number {future.sample + 1}"
            yield f"{name_label(name)}: {which}", note, future.clip


def _encode(clip: Clip, path: Path) -> None:
    """A player's file, enlarged so that its pixels are seen."""
    from soundsight.media.io import encode

    path.parent.mkdir(parents=True, exist_ok=True)
    encode(clip, path, scale=-(-VIEW_SIDE // clip.spec.size))


def load_scores(path: str | Path) -> dict[str, Any]:
    """Read a scores.json, or that of a report folder.

    Args:
        path: the file, or the folder that holds it.

    Returns:
        Its content, "rows" as a list of `Row`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: naming the file, if it is no scores.json of this version.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "scores.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"format {found['format']}, not {FORMAT}")
        rows = [Row(**row) for row in found["rows"]]
        needed = {key: found[key] for key in ("title", "protocol", "claims")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no scores.json of this version: {error!r}") from error
    return {**found, **needed, "rows": rows}


COMPARABLE = ("seen", "frames", "num_samples", "clips", "split", "seed", "clip", "indices", "data")
"""Fields of the protocol that must agree for scores to stand in one table."""


def compare_report(
    runs: Sequence[Mapping[str, Any]], out: str | Path, *, title: str = "Comparison"
) -> Path:
    """Several evaluations in one table, with the controls once.

    Args:
        runs: what `load_scores` returned for each, at least one; a title names the row of
            a model whose name another run has too.
        out: folder of the report.
        title: heading of the page.

    Returns:
        Path of the page.

    Raises:
        ValueError: if there is nothing to compare or the runs were not evaluated alike, naming the
            field.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    _check_comparable(runs)
    rows, samples = _merge(runs)
    first = runs[0]["protocol"]
    rules = _shown_rules([rule for rule in RULES if rule in first["rules"]], samples)
    curves = curve_files([row for row in rows if row.rule in rules], seen=first["seen"])
    for name, content in curves.items():
        _write(out / "curves" / name, content)
    common = {key: first[key] for key in COMPARABLE if key in first}
    protocols = {run["title"]: run["protocol"] for run in runs}
    _write_scores(out, title, {**common, "runs": protocols}, [], rows)
    sections = [
        ("Scores", page.headline_section(rows, rules, samples)),
        ("Frame by frame", page.curves_section(rules, curves, "curves")),
        ("Diversity and more", page.other_section(rows)),
        ("How to read this", page.reading_section(rows, rules)),
        ("Every frame", page.frames_section(rows, rules)),
        ("Protocol", page.protocol_section({**common, **protocols})),
    ]
    lead = f"{len(runs)} runs on the same {first['clips']} clips of the {first['split']} split."
    _write(out / "index.html", page.document(title, lead, sections))
    return out / "index.html"


def _check_comparable(runs: Sequence[Mapping[str, Any]]) -> None:
    if not runs:
        raise ValueError("nothing to compare: give at least one report")
    first = runs[0]
    for run in runs[1:]:
        for key in COMPARABLE:
            a, b = first["protocol"].get(key), run["protocol"].get(key)
            if a != b:
                shown = "" if key == "indices" else f": {a} and {b}"
                raise ValueError(
                    f"{first['title']!r} and {run['title']!r} differ in {key}{shown}; scores "
                    "compare only on the same clips by the same protocol"
                )


def _merge(runs: Sequence[Mapping[str, Any]]) -> tuple[list[Row], dict[str, int]]:
    """Rows under names that are unique, and futures per name; controls from the first run only."""
    rows: list[Row] = []
    samples: dict[str, int] = {}
    names = [model for run in runs for model in run["protocol"]["models"]]
    taken: set[str] = set()
    for run in runs:
        rename = {}
        for model in run["protocol"]["models"]:
            rename[model] = _unique(model, run["title"], names, taken)
            taken.add(rename[model])
        for row in run["rows"]:
            model, mark, rest = row.name.partition(":")
            if model in rename and not is_difference(row):
                rows.append(row._replace(name=rename[model] + mark + rest))
        for name, drawn in run["protocol"]["futures_per_clip"].items():
            model, mark, rest = name.partition(":")
            if model in rename:
                samples[rename[model] + mark + rest] = drawn
    return rows + _controls(runs[0]), samples


def _controls(run: Mapping[str, Any]) -> list[Row]:
    """Rows that do not depend on a model."""
    return [
        row
        for row in run["rows"]
        if is_control(row.name) and ":" not in row.name and not is_difference(row)
    ]


def _unique(model: str, title: str, names: Sequence[str], taken: set[str]) -> str:
    """A name for a run's model: its own, with the run's title and a number if others share it."""
    # The marks of a shuffled double and of a difference must not come in by a title.
    title = title.replace(":", " ").replace(" - ", ", ")
    name = model if names.count(model) == 1 else f"{model} ({title})"
    return next(
        free for i in count(1) if (free := name if i == 1 else f"{name} ({i})") not in taken
    )


def _write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

"""Write an evaluation to a folder: numbers for machines, a page for people.

`scores.json`: title, protocol once, claims, tidy rows; `scores.csv`: the rows; `index.html`: a page
that opens from disk; `curves/`, `examples/`: its pictures and players. Every file appears whole or
not at all.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from soundsight.evaluation import page
from soundsight.evaluation.claims import Claim, Judged, default_claims, judge
from soundsight.evaluation.figures import curve_files, film_strip, png, strip_frames
from soundsight.evaluation.forecasters import SHUFFLED, TRIVIAL
from soundsight.evaluation.labels import name_label
from soundsight.evaluation.scores import Example, Future, Row, Scores
from soundsight.evaluation.writing import versions, write_file, write_player, write_scores
from soundsight.media.clip import Clip
from soundsight.page.pieces import document

STRIP_SIDE = 56
"""Least side of a frame in a film strip, pixels."""


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
        write_file(out / "curves" / name, content)
    shown = [
        _write_example(example, i, scores, out)
        for i, example in enumerate(scores.examples if examples is None else examples)
    ]
    write_scores(out, title, block, [_evidence(one) for one in judged], scores.rows)
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
    write_file(out / "index.html", document(title, _lead(scores), sections, footer=page.FOOTER))
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
    return {
        **dataclasses.asdict(scores.protocol),
        "clip": dataclasses.asdict(scores.spec),
        "models": scores.models,
        "futures_per_clip": scores.num_samples,
        "weights_sha256": weights_sha256,
        **extra,
        "versions": versions(),
        "indices": scores.indices,
    }


def _evidence(judged: Judged) -> dict[str, Any]:
    """A claim with its verdict and the numbers it rests on, for JSON."""
    claim, row, verdict = judged
    numbers = dict(zip(Row._fields[4:], row[4:], strict=True))
    return {**claim._asdict(), **numbers, "verdict": verdict}


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
        write_file(out / f"{stem}.png", png(strip))
        write_player(clip, out / f"{stem}.mp4")
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

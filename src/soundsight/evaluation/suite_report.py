"""Write a suite's table to a folder: numbers for machines, a page for people.

`scores.json`, `scores.csv`: tidy rows, claims and protocol; `table.md`: the table and the claims in
Markdown; `index.html`: a page that opens from disk; `curves/`, `strips/`: its pictures. Every file
appears whole or not at all.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soundsight.evaluation import page
from soundsight.evaluation.claims import Verdict
from soundsight.evaluation.figures import best_of_curves, curves, film_strip, png, strip_frames
from soundsight.evaluation.forecasters import REAL, SHUFFLED, TRIVIAL
from soundsight.evaluation.labels import RULE_LABELS, RULE_MEANINGS, metric, name_label
from soundsight.evaluation.scores import CONTROLS, Row
from soundsight.evaluation.suite import (
    Published,
    SuiteJudged,
    SuiteScores,
    by_seed,
    is_seed,
)
from soundsight.evaluation.writing import versions, write_file, write_scores
from soundsight.page.pieces import card, document, folded, plain_table, safe, table

Column = tuple[str, str, int | None]
"""Metric, rule and frame."""
STRIP_SIDE = 56
"""Least side of a frame in a film strip, pixels."""
CURVES = (
    ("psnr", "mean"), ("ssim", "mean"), ("psnr", "sequence_best"), ("ssim_legacy", "frame_oracle"),
)  # fmt: skip
"""Curves over the frames, the first two at once."""


def write_suite_report(
    scores: SuiteScores,
    out: Path,
    *,
    title: str,
    about: str,
    frames: Sequence[int],
    published: Mapping[str, Published | None],
    costs: Sequence[Mapping[str, Any]],
    protocol: Mapping[str, Any],
) -> Path:
    """Write the report of a suite.

    Args:
        scores: what `soundsight.evaluation.suite.join` returned.
        out: folder of the report, made if missing; files of an older report are replaced.
        title: heading of the page.
        about: one paragraph under it.
        frames: 1-based frames whose scores stand in the table.
        published: what the paper reports, by row.
        costs: of each training: "row", "seed", "steps", "seconds" and parameters by network.
        protocol: anything that belongs beside the numbers, JSON-able.

    Returns:
        Path of the page.

    Raises:
        OSError: if a file cannot be written.
    """
    out = Path(out)
    for folder in ("curves", "strips"):  # Of rows that are gone.
        for old in (out / folder).glob("*.*"):
            old.unlink()
    pictures = _write_curves(scores, out)
    clips = _write_strips(scores, out)
    block = {
        **dataclasses.asdict(scores.protocol),
        "clips": scores.clips,
        "seeds": scores.seeds,
        **protocol,
        "trainings": list(costs),
        "scored": _scored_by(scores),
        "versions": versions(),
    }
    claims = [_evidence(claim) for claim in scores.claims]
    write_scores(out, title, block, claims, scores.rows)
    write_file(out / "table.md", markdown(scores, title=title, frames=frames))
    sections = [
        ("In short", claims_section(scores.claims)),
        ("The table", _table_section(scores, frames)),
        ("Beside the paper", _published_section(scores, frames, published)),
        ("Frame by frame", _curves_section(pictures)),
        ("More futures", _futures_section(scores, pictures)),
        ("The block", _block_section(scores)),
        ("Film strips", _strips_section(scores, clips)),
        ("What it took", _costs_section(costs)),
        ("How to read this", _reading_section()),
        ("Protocol", page.protocol_section(block)),
    ]
    write_file(out / "index.html", document(title, about, sections, footer=page.FOOTER))
    return out / "index.html"


def _scored_by(scores: SuiteScores) -> dict[str, Any]:
    """Weights, machine and versions behind each run's scores."""
    told = ("weights_sha256", "hardware", "versions")
    return {
        f"{row}, seed {seed}": {name: run.about[name] for name in told if name in run.about}
        for row, runs in scores.runs.items()
        for seed, run in runs.items()
    }


# ---- Claims --------------------------------------------------------------------------------------


def _evidence(one: SuiteJudged) -> dict[str, Any]:
    """A claim with its verdicts and the numbers they rest on, for JSON."""
    claim, row, verdict = one.judged
    numbers = dict(zip(Row._fields[4:], row[4:], strict=True))
    return {
        **claim._asdict(), **numbers, "verdict": verdict,
        "seeds": {seed: {"verdict": v, "value": one.differences[seed]}
                  for seed, v in one.seeds.items()},
    }  # fmt: skip


def claims_section(claims: Sequence[SuiteJudged]) -> str:
    """Each claim with its verdict, the difference it rests on, and how many seeds agree."""
    items = []
    for one in claims:
        claim = one.judged.claim
        sides = f"{name_label(claim.better)} – {name_label(claim.worse)}"
        items.append(page.claim_item(one.judged, sides + _agreement(one.seeds)))
    if not items:
        return ""
    return (
        "<p>Each line compares two rows on the same clips, the means over their seeds. It "
        "<em>holds</em> if the whole confidence interval of the difference is on the right side of "
        "zero, <em>does not hold</em> if it is on the wrong side, and is <em>not shown</em> if "
        "zero lies inside. The interval is over clips; whether another training would come out the "
        "same, the seeds tell. Each line is judged by itself: of twenty about nothing, one would "
        "seem to hold or not to hold.</p>"
        f'<ul class="claims">{"".join(items)}</ul>'
    )


def _agreement(seeds: Mapping[int, Verdict]) -> str:
    """How many seeds alone say the same: "; holds in 3 of 3 seeds"."""
    if len(seeds) < 2:
        return ""
    counts = {v: sum(one == v for one in seeds.values()) for v in ("holds", "does not hold")}
    wrong = counts["does not hold"]
    told = f"; holds in {counts['holds']} of {len(seeds)} seeds"
    return told + (f", does not hold in {wrong}" if wrong else "")


# ---- Tables --------------------------------------------------------------------------------------


def _table_section(scores: SuiteScores, frames: Sequence[int]) -> str:
    """One draw first; then the best sequence; then the best anew in every frame."""
    parts: list[str] = []
    for rule in scores.protocol.rules:
        columns: list[Column] = [("psnr_first_half", rule, None)]
        columns += [("psnr", rule, frame) for frame in frames]
        columns += [("ssim", rule, frame) for frame in frames]
        columns += [("psnr_region", rule, None), ("psnr_region", rule, frames[-1])]
        body = f"<p>{safe(RULE_MEANINGS[rule])}</p>" + card(_score_table(scores, columns))
        if parts:
            parts.append(folded(RULE_LABELS[rule], body))
        else:
            parts.append(f"<h3>{safe(RULE_LABELS[rule])}</h3>{body}")
    return "".join(parts)


def _shown_names(scores: SuiteScores) -> list[str]:
    """Rows, each followed by its shuffled double, then the controls."""
    there = {row.name for row in scores.rows}
    doubled = [name for row in scores.names for name in (row, row + SHUFFLED)]
    return [name for name in (*doubled, *CONTROLS) if name in there]


def _score_table(scores: SuiteScores, columns: Sequence[Column]) -> str:
    """Names by columns: means over seeds, intervals over clips, and the spread of the seeds."""
    names = _shown_names(scores)
    best = {column: _best(scores, names, column) for column in columns}
    columns = [column for column in columns if best[column] is not None]
    if not columns:
        return ""
    head = "".join(
        f'<th scope="col">{safe(metric(m).label)}'
        + ("" if frame is None else f"<br>frame {frame}")
        + "</th>"
        for m, _, frame in columns
    )
    body = []
    for name in names:
        cells = "".join(_cell(scores, name, column, best[column]) for column in columns)
        kind = ' class="model"' if name in scores.names else ""
        body.append(f'<tr{kind}><th scope="row">{safe(name_label(name))}</th>{cells}</tr>')
    caption = (
        "Mean over clips and seeds; below it the confidence interval over clips, and the least and "
        "the greatest mean of a seed. The best of each column is bold."
    )
    return table(caption, f'<tr><th scope="col">Row</th>{head}</tr>', body)


def _best(scores: SuiteScores, names: Sequence[str], column: Column) -> float | None:
    """The best of a column, own sounds given; NaN where less is no merit, None without values."""
    rows = [row for name in names if (row := scores.value(name, *column)) is not None]
    values = [row.value for row in rows if not row.name.endswith(SHUFFLED)]
    if not values:
        return None
    if column[0] == "pairwise_ssim":  # Noise is the least alike.
        return float("nan")
    return max(values) if metric(column[0]).higher_is_better else min(values)


def _cell(scores: SuiteScores, name: str, column: Column, best: float | None) -> str:
    row = scores.value(name, *column)
    if row is None:
        return '<td><span aria-label="not applicable">–</span></td>'
    d = metric(row.metric).decimals
    seeds = [one.value for one in by_seed(scores, name, *column)]
    spread = f"seeds {min(seeds):.{d}f} to {max(seeds):.{d}f}" if len(seeds) > 1 else ""
    strong = ' class="best"' if row.value == best else ""
    return (
        f"<td{strong}>{row.value:.{d}f}<small>[{row.low:.{d}f}, {row.high:.{d}f}]</small>"
        f"<small>{spread}</small></td>"
    )


def _published_section(
    scores: SuiteScores, frames: Sequence[int], published: Mapping[str, Published | None]
) -> str:
    """The paper's numbers and ours by its likely convention, in neighbouring columns."""
    theirs = next((one for one in published.values() if one is not None), None)
    oracle = "frame_oracle"
    if theirs is None or oracle not in scores.protocol.rules:
        return ""
    places = ("ssim_legacy", "psnr")
    head = ["row"]
    for m in places:
        head += [f"paper: {metric(m).label}, frame {frame}" for frame in theirs.frames]
        head += [f"here: {metric(m).label}, frame {frame}" for frame in frames]
    body = []
    for name in (*scores.names, *TRIVIAL):
        one, cells = published.get(name), [name_label(name)]
        for m in places:
            values = () if one is None else one.psnr if m == "psnr" else one.ssim
            d = metric(m).decimals
            cells += [f"{v:.{d}f}" for v in values] or ["–"] * len(theirs.frames)
            found = [scores.value(name, m, oracle, frame) for frame in frames]
            cells += ["–" if row is None else f"{row.value:.{d}f}" for row in found]
        body.append(cells)
    words = (
        "<p>The paper's numbers are most likely the best of 100 futures anew in every frame, and "
        "SSIM of data range 2; ours in this table are counted so, too. Its data are not published, "
        "and neither the size of the digits nor the sound's form is known: compare the order of "
        "the rows, not the numbers.</p>"
    )
    caption = f"Best of K anew in every frame; here K = {scores.protocol.num_samples}."
    return words + card(plain_table(caption, head, body))


def _block_section(scores: SuiteScores) -> str:
    """Where the block is seen, in worlds that have one."""
    columns: list[Column] = [
        (m, rule, None)
        for m in ("block_iou", "block_time_error")
        for rule in ("mean", "sequence_best")
    ]
    found = _score_table(scores, columns)
    return card(found) if found else ""


def _futures_section(scores: SuiteScores, pictures: Mapping[str, str]) -> str:
    """How unlike the futures are, and what drawing more of them buys."""
    columns: list[Column] = [("pairwise_ssim", "none", None)]
    columns += [(m, "sequence_best", None) for m in _best_of(scores)]
    found = _score_table(scores, columns)
    if not found:
        return ""
    words = (
        "<p>A forecaster of many futures is useful if they differ (low likeness) and if the best "
        "of more of them is closer to the truth. Rows of one future are not here. The expected "
        "likeness of two futures does not depend on how many are drawn, so it is one number.</p>"
    )
    return words + f'<div class="single">{pictures.get("best_of", "")}</div>' + card(found)


def _best_of(scores: SuiteScores) -> list[str]:
    found = {row.metric for row in scores.rows if row.metric.startswith("ssim_best_of_")}
    return sorted(found, key=lambda name: int(name.rpartition("_")[2]))


def _costs_section(costs: Sequence[Mapping[str, Any]]) -> str:
    """Time and size of every training."""
    head = ["row", "seed", "steps", "seconds", "steps a second", "parameters"]
    body = []
    for one in costs:
        sizes = {k: v for k, v in one.items() if k not in ("row", "seed", "steps", "seconds")}
        told = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        rate = one["steps"] / one["seconds"] if one["seconds"] else float("nan")
        body.append(
            [str(one["row"]), str(one["seed"]), f"{one['steps']:,}", f"{one['seconds']:.0f}",
             f"{rate:.2f}", told]
        )  # fmt: skip
    return folded("All trainings", plain_table("Seconds of the training steps.", head, body))


def _reading_section() -> str:
    items = [
        (metric(m).label, metric(m).meaning)
        for m in ("psnr_first_half", "psnr", "ssim", "ssim_legacy", "psnr_region", "pairwise_ssim")
    ]
    items += [
        (
            "Given another clip's sound",
            "The same weights, the same seen frames, the same dice, but the sound of another clip.",
        ),
        (
            "Interval",
            "How far a mean may be off because only these clips were looked at. It knows nothing "
            "of other trainings; the seeds beside it do.",
        ),
    ]
    body = "".join(f"<dt>{safe(word)}</dt><dd>{safe(text)}</dd>" for word, text in items)
    return card(f"<dl>{body}</dl>")


def markdown(scores: SuiteScores, *, title: str, frames: Sequence[int]) -> str:
    """The table and the claims, to be read in a terminal or put into a document.

    Args:
        scores: of a suite.
        title: of the table.
        frames: 1-based frames that have a column.

    Returns:
        Markdown.
    """
    p = scores.protocol
    columns: list[Column] = [("psnr_first_half", "mean", None)]
    columns += [("psnr", "mean", frame) for frame in frames]
    columns += [("psnr", "sequence_best", frames[-1]), ("ssim", "mean", None)]
    columns += [("psnr_region", "mean", None), ("pairwise_ssim", "none", None)]
    columns += [("block_iou", "mean", None), ("block_iou", "sequence_best", None)]
    names = _shown_names(scores)
    best = {column: _best(scores, names, column) for column in columns}
    columns = [column for column in columns if best[column] is not None]
    lines = [f"**{title}.** {scores.clips} clips, K = {p.num_samples}, seed {p.seed}."]
    lines += ["", _line("row", "seeds", *(_heading(column) for column in columns))]
    lines += [_line("---", *["---:"] * (len(columns) + 1))]
    for name in names:
        seeds = str(len(scores.seeds.get(name.removesuffix(SHUFFLED), [])) or "")
        cells = [_plain_cell(scores, name, column, best[column]) for column in columns]
        lines.append(_line(name_label(name), seeds, *cells))
    lines += ["", _line("claim", "difference", "verdict", "seeds in which it holds")]
    lines += [_line("---", "---:", "---", "---:")]
    for one in scores.claims:
        claim, row, verdict = one.judged
        d = metric(claim.metric).decimals
        difference = f"{row.value:+.{d}f} [{row.low:+.{d}f}, {row.high:+.{d}f}]"
        held = sum(v == "holds" for v in one.seeds.values())
        told = f"{held} of {len(one.seeds)}" if len(one.seeds) > 1 else "one seed"
        lines.append(_line(claim.text, difference, verdict, told))
    return "\n".join(lines) + "\n"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _heading(column: Column) -> str:
    name, rule, frame = column
    words = {"mean": "mean", "sequence_best": "best", "frame_oracle": "oracle", "none": ""}
    told = [metric(name).label, "" if frame is None else f"frame {frame}", words[rule]]
    return ", ".join(word for word in told if word)


def _plain_cell(scores: SuiteScores, name: str, column: Column, best: float | None) -> str:
    """A mean, the best one bold, and the least and greatest seed."""
    row = scores.value(name, *column)
    if row is None:
        return "–"
    d = metric(row.metric).decimals
    strong = "**" if row.value == best else ""
    seeds = [one.value for one in by_seed(scores, name, *column)]
    spread = f" ({min(seeds):.{d}f} to {max(seeds):.{d}f})" if len(seeds) > 1 else ""
    return f"{strong}{row.value:.{d}f}{strong}{spread}"


# ---- Pictures ------------------------------------------------------------------------------------


def _write_curves(scores: SuiteScores, out: Path) -> dict[str, str]:
    """Draw the curves; HTML of each by its name."""
    shown = (*scores.names, scores.names[0] + SHUFFLED, *TRIVIAL)
    means = [row for row in scores.rows if row.name in shown and not is_seed(row.name)]
    drawn: dict[str, dict[str, bytes]] = {}
    for m, rule in CURVES:
        rows = [r for r in means if (r.metric, r.rule) == (m, rule) and r.frame is not None]
        if rows:
            drawn[f"{m}_{rule}"] = curves(rows, m, seen=scores.protocol.seen)
    if more := best_of_curves(means):
        drawn["best_of"] = more
    found = {}
    for name, themes in drawn.items():
        for theme, content in themes.items():
            write_file(out / "curves" / f"{name}_{theme}.svg", content)
        found[name] = page.curve_figure(f"curves/{name}", _caption(name))
    return found


def _caption(name: str) -> str:
    """Words under a curve."""
    for m, rule in CURVES:
        if name == f"{m}_{rule}":
            return page.curve_caption(m, rule)
    return "Expected SSIM of the best of k futures, mean over the predicted frames"


def _curves_section(pictures: Mapping[str, str]) -> str:
    first, more = list[str](), list[str]()
    for i, (m, rule) in enumerate(CURVES):
        if picture := pictures.get(f"{m}_{rule}"):
            (first if i < 2 else more).append(picture)
    return "".join(f'<div class="pair">{"".join(p)}</div>' for p in (first, more) if p)


def _write_strips(scores: SuiteScores, out: Path) -> list[list[tuple[str, str]]]:
    """Draw film strips; for each example clip, names and links of its strips."""
    seen = scores.protocol.seen
    clips: list[list[tuple[str, str]]] = []
    for name, title, frames in _strips(scores):
        for i, pixels in enumerate(frames):
            video = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
            chosen = strip_frames(seen, len(video))
            scale = -(-STRIP_SIDE // video.shape[-1])
            link = f"strips/{i + 1:02d}_{name.replace(':', '_')}.png"
            write_file(out / link, png(film_strip(video, chosen, seen=seen, scale=scale)))
            if len(clips) <= i:
                clips.append([])
            clips[i].append((title, link))
    return clips


def _strips(scores: SuiteScores) -> Iterator[tuple[str, str, np.ndarray]]:
    """Name, title and frames (e, t, h, w, c) of what is shown of each example clip."""
    first = scores.runs[scores.names[0]][scores.seeds[scores.names[0]][0]]
    if REAL in first.strips:
        yield REAL, "What happened", first.strips[REAL]
    for name in scores.names:
        one = scores.runs[name][scores.seeds[name][0]]
        if name in one.strips:
            yield name, name_label(name), one.strips[name]


def _strips_section(scores: SuiteScores, clips: Sequence[Sequence[tuple[str, str]]]) -> str:
    if not clips:
        return ""
    chosen = strip_frames(scores.protocol.seen, scores.protocol.frames)
    numbers = ", ".join(str(k + 1) for k in chosen)
    parts = [
        f"<p>The first evaluated clips, not chosen ones; frames {numbers}, the given ones before "
        "the wide gap. Of several futures the one most like what happened is shown, of the first "
        "seed.</p>"
    ]
    for i, strips in enumerate(clips, start=1):
        rows = "".join(page.strip_item(title, link) for title, link in strips)
        parts.append(f'<div class="card"><h3>Clip {i}</h3><div class="strips">{rows}</div></div>')
    return "".join(parts)

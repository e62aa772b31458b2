"""The sections of a report's page: plain HTML made from the tidy rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from soundsight.evaluation.claims import Judged
from soundsight.evaluation.fooling import LABELLED_REAL
from soundsight.evaluation.forecasters import REAL
from soundsight.evaluation.labels import (
    METRICS,
    RULE_LABELS,
    RULE_MEANINGS,
    metric,
    name_label,
)
from soundsight.evaluation.scores import Row, is_control, is_difference, is_real
from soundsight.page.pieces import card, definitions, folded, player, safe, table

HEADLINE = (
    "psnr_first_half", "psnr", "ssim", "ssim_legacy", "psnr_region", "ssim_region", "block_iou",
    "block_time_error",
)  # fmt: skip
CURVES = ("psnr", "ssim", "ssim_legacy")


class Player(NamedTuple):
    """One video of an example, with its film strip."""

    title: str
    note: str
    video: str
    """Relative links."""
    strip: str


class Shown(NamedTuple):
    """One example clip on the page."""

    title: str
    seen_seconds: float
    strip_note: str
    players: list[Player]


FOOTER = (
    'The same numbers, for machines: <a href="scores.json">scores.json</a>, '
    '<a href="scores.csv">scores.csv</a>.'
)


def claims_section(judged: Sequence[Judged]) -> str:
    """Each claim with its verdict and the difference it rests on."""
    items = [claim_item(one) for one in judged]
    if not items:
        return ""
    return (
        "<p>Each line compares two forecasters on the same clips. It <em>holds</em> if the whole "
        "confidence interval of the difference is on the right side of zero, <em>does not "
        "hold</em> if it is on the wrong side, and is <em>not shown</em> if zero lies inside.</p>"
        f'<ul class="claims">{"".join(items)}</ul>'
    )


def claim_item(judged: Judged, note: str = "") -> str:
    """One claim: verdict, words, and the difference it rests on.

    Args:
        judged: the claim with its evidence.
        note: more words under it, plain text.

    Returns:
        HTML, a list's item.
    """
    claim, row, verdict = judged
    shown = metric(claim.metric)
    rule = RULE_LABELS.get(claim.rule, claim.rule).lower()
    frame = "" if claim.frame is None else f", frame {claim.frame}"
    evidence = (
        f"{row.value:+.{shown.decimals}f} {shown.unit} "
        f"[{row.low:+.{shown.decimals}f}, {row.high:+.{shown.decimals}f}]"
    )
    more = f'<br><span class="note">{safe(note)}</span>' if note else ""
    return (
        f'<li><span class="verdict {verdict.replace(" ", "-")}">{verdict.capitalize()}</span>'
        f"<span>{safe(claim.text)}{more}</span>"
        f'<span class="evidence">{safe(evidence)}<br>{safe(shown.label)}, '
        f"{safe(rule)}{frame}</span></li>"
    )


def headline_section(rows: Sequence[Row], rules: Sequence[str], samples: Mapping[str, int]) -> str:
    """The table of scores, one per rule; the first is open.

    Args:
        rows: all of them.
        rules: in the order of the tables.
        samples: futures drawn per clip, by name.

    Returns:
        HTML.
    """
    parts: list[str] = []
    for rule in rules:
        meaning = f"<p>{safe(RULE_MEANINGS[rule])}</p>"
        scores = card(_headline_table(rows, rule, samples))
        if not parts:
            heading = f"<h3>{safe(RULE_LABELS[rule])}</h3>"
            parts.append(heading + meaning + scores)
        else:
            parts.append(folded(RULE_LABELS[rule], meaning + scores))
    return "".join(parts)


def _headline_table(rows: Sequence[Row], rule: str, samples: Mapping[str, int]) -> str:
    """Names by the metrics of the headline, under one rule."""
    return _score_table(
        [row for row in rows if row.rule == rule and row.metric in HEADLINE],
        HEADLINE,
        samples,
        "Mean over all predicted frames and clips; below it the confidence interval. The best "
        "value of each column, apart from the upper bound, is bold.",
    )


def _score_table(
    rows: Sequence[Row], metrics: Sequence[str], samples: Mapping[str, int], caption: str
) -> str:
    """Names by metrics: values without a frame, with their intervals."""
    found = {
        (row.name, row.metric): row for row in rows if row.frame is None and not is_difference(row)
    }
    names = list(dict.fromkeys(name for name, _ in found))
    names.sort(key=lambda name: (is_real(name), is_control(name)))
    columns = {m: [row for (_, k), row in found.items() if k == m] for m in metrics}
    columns = {m: column for m, column in columns.items() if column}
    head = "".join(
        f'<th scope="col">{safe(metric(m).label)}<br>{_direction(m)}'
        f'<br><span class="note">{column[0].n} clips</span></th>'
        for m, column in columns.items()
    )
    best = {m: _best(m, column) for m, column in columns.items()}
    body = []
    for name in names:
        cells = "".join(_cell(found.get((name, m)), best[m]) for m in columns)
        kind = "" if is_control(name) else ' class="model"'
        drawn = samples.get(name)
        futures = f' <span class="note">({drawn} futures)</span>' if drawn and drawn > 1 else ""
        body.append(f'<tr{kind}><th scope="row">{safe(name_label(name))}{futures}</th>{cells}</tr>')
    return table(caption, f'<tr><th scope="col">Forecaster</th>{head}</tr>', body)


def _direction(name: str) -> str:
    shown = metric(name)
    way = "higher is better" if shown.higher_is_better else "lower is better"
    return f'<span class="note">{safe(shown.unit)} {way}</span>'


def _best(name: str, rows: Sequence[Row]) -> float | None:
    """The best value of a column, the upper bound left out; none where each row has its judge."""
    if name.startswith(LABELLED_REAL):
        return None
    values = [row.value for row in rows if not is_real(row.name)]
    choose: Callable[[list[float]], float] = max if metric(name).higher_is_better else min
    return choose(values) if values else None


def _cell(row: Row | None, best: float | None = None) -> str:
    if row is None:
        return '<td><span aria-label="not applicable">–</span></td>'
    d = metric(row.metric).decimals
    strong = ' class="best"' if row.value == best and not is_real(row.name) else ""
    interval = f"<small>[{row.low:.{d}f}, {row.high:.{d}f}]</small>"
    return f"<td{strong}>{row.value:.{d}f}{interval}</td>"


def curves_section(rules: Sequence[str], files: Iterable[str], folder: str) -> str:
    """The curves: PSNR and SSIM of the first rule at once, all else on demand.

    Args:
        rules: in the order of the tables.
        files: names of the pictures there are.
        folder: where they lie, relative to the page.

    Returns:
        HTML.
    """
    there = set(files)
    parts: list[str] = []
    for rule in rules:
        figures = {
            m: curve_figure(f"{folder}/{m}_{rule}", curve_caption(m, rule))
            for m in CURVES
            if f"{m}_{rule}_light.svg" in there
        }
        summary = RULE_LABELS[rule]
        if figures and not parts:
            legacy = figures.pop("ssim_legacy", "")
            parts.append(f'<div class="pair">{"".join(figures.values())}</div>')
            figures, summary = ({"ssim_legacy": legacy} if legacy else {}), metric(CURVES[-1]).label
        if figures:
            parts.append(folded(summary, f'<div class="pair">{"".join(figures.values())}</div>'))
    if not parts:
        return ""
    words = (
        "<p>Each line is the mean over all clips, the shade its confidence interval. A forecaster "
        "that has learned how things move starts high and falls slowly; one that listens stays "
        "above its own dashed double, which was given the sound of another clip.</p>"
    )
    return words + "".join(parts)


def curve_figure(stem: str, caption: str) -> str:
    """A curve in the theme of the page.

    Args:
        stem: relative link without "_light.svg" and "_dark.svg".
        caption: plain text.

    Returns:
        HTML.
    """
    alt = f"Line chart of {caption}; the numbers are in the tables and in scores.csv."
    return (
        f'<figure class="card"><picture><source media="(prefers-color-scheme: dark)" '
        f'srcset="{stem}_dark.svg"><img src="{stem}_light.svg" '
        f'alt="{safe(alt)}"></picture><figcaption>{safe(caption)}</figcaption></figure>'
    )


def curve_caption(name: str, rule: str) -> str:
    """What a curve over the predicted frames shows."""
    return f"{metric(name).label}: {RULE_LABELS[rule].lower()}"


def strip_item(title: str, link: str) -> str:
    """A film strip with its title; HTML, to be put into an element of the class "strips"."""
    return (
        f'<div><strong>{safe(title)}</strong><img src="{safe(link)}" '
        f'alt="Film strip: {safe(title)}" loading="lazy"></div>'
    )


def examples_section(examples: Sequence[Shown]) -> str:
    """Players and film strips: what happened beside what was imagined."""
    if not examples:
        return ""
    parts = [
        "<p>The first evaluated clips, not chosen ones. The frames before the wide gap were "
        "given; a blue outline marks a player while it shows predicted frames. Each player has the "
        "sound that its forecaster was given. <em>Best</em> and <em>worst</em> are by mean SSIM "
        "with what happened, <em>random</em> is any of them.</p>"
    ]
    for i, example in enumerate(examples):
        players = "".join(
            player(p.title, p.note, p.video, seen_s=example.seen_seconds) for p in example.players
        )
        strips = "".join(strip_item(p.title, p.strip) for p in example.players)
        parts.append(
            f'<div class="card" id="example{i}"><div class="example-head">'
            f'<h3>{safe(example.title)}</h3><button type="button" data-example="example{i}" '
            f'hidden>Play all together</button></div><div class="players">{players}</div>'
            f'<div class="strips"><p class="note">{safe(example.strip_note)}</p>{strips}</div>'
            "</div>"
        )
    return "".join(parts)


def other_section(rows: Sequence[Row]) -> str:
    """Diversity, best of K, fooling: every score that has no column in the headline."""
    others = [row for row in rows if row.metric not in HEADLINE and not is_difference(row)]
    if not others:
        return ""
    scores = _score_table(
        others,
        list(dict.fromkeys(row.metric for row in others)),
        {},
        "A forecaster of many futures is useful if they differ (low likeness) and if the best of "
        "more of them is closer to the truth.",
    )
    return card(scores)


def frames_section(rows: Sequence[Row], rules: Sequence[str]) -> str:
    """Every frame's mean, folded away."""
    parts = []
    for rule in rules:
        for m in CURVES:
            found = {
                (row.name, row.frame): row
                for row in rows
                if (row.metric, row.rule) == (m, rule)
                and row.frame is not None
                and not is_difference(row)
            }
            if found:
                title = f"{metric(m).label}: {RULE_LABELS[rule].lower()}"
                parts.append(folded(title, _frame_table(found, title)))
    return card(*parts) if parts else ""


def _frame_table(found: Mapping[tuple[str, int], Row], title: str) -> str:
    names = list(dict.fromkeys(name for name, _ in found if name != REAL))
    head = "".join(f'<th scope="col">{safe(name_label(name))}</th>' for name in names)
    frames = sorted({frame for _, frame in found})
    body = [
        f'<tr><th scope="row">{frame}</th>'
        + "".join(_cell(found.get((name, frame))) for name in names)
        + "</tr>"
        for frame in frames
    ]
    return table(title, f'<tr><th scope="col">Frame</th>{head}</tr>', body)


def protocol_section(protocol: Mapping[str, Any]) -> str:
    """How the numbers were made, every field."""
    return card(definitions(protocol))


def reading_section(rows: Sequence[Row], rules: Sequence[str]) -> str:
    """The words of the page explained."""
    used = {row.metric for row in rows}
    judged = sorted(m for m in used if m.startswith(LABELLED_REAL))
    shown = [metric(m) for m in (*(m for m in METRICS if m in used), *judged)]
    items = [(m.label, m.meaning) for m in shown if m.meaning]
    items += [(RULE_LABELS[rule], RULE_MEANINGS[rule]) for rule in rules]
    items += [
        (
            "Given another clip's sound",
            "The same model, the same seen frames, the same dice, but the sound of another clip. "
            "If it does as well, it does not listen.",
        ),
        (
            "Interval",
            "How far the mean may be off because only these clips were looked at: of many such "
            "intervals, the share that the protocol calls confidence holds the true mean. "
            "Differences are paired, both on the same clips, and so more certain than two "
            "overlapping intervals suggest.",
        ),
    ]
    body = "".join(f"<dt>{safe(word)}</dt><dd>{safe(text)}</dd>" for word, text in items)
    return card(f"<dl>{body}</dl>")

"""The sections of the page about generated clips: plain HTML made from the tidy rows."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from soundsight.evaluation.joint_claims import ALPHA, Claim, Evidence, Found, looked_at, runs_shown
from soundsight.evaluation.joint_labels import (
    FRAMES,
    LABELS,
    MATCHED,
    READ,
    SOUND,
    VARIETY_SOUND,
    VARIETY_VIDEO,
    VIDEO,
    WAYS,
    Label,
    is_column,
    label,
    name_label,
    number,
    p_label,
)
from soundsight.evaluation.joint_scores import P_VALUE, REAL, REPAIRED, SEEDS, Judged
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.page.pieces import card, definitions, folded, plain_table, player, safe, table

PUBLISHED_SOUND = (
    ("Sub-URMP, separate", "3.2", "14", "111.25", "1.38", "7.53"),
    ("Sub-URMP, joint", "3.6", "10", "97.43", "1.44", "6.12"),
    ("HMMD, separate", "3.1", "36", "93.00", "1.34", "7.33"),
    ("HMMD, joint", "3.4", "29", "79.89", "1.48", "5.42"),
)
"""Table 3 of the paper: judged by people, NDB, FID, IS, PE."""
PUBLISHED_PICTURE = (
    ("Sub-URMP, real clips", "4.6", "1.42"),
    ("Sub-URMP, separate", "3.1", "1.88"),
    ("Sub-URMP, joint", "3.7", "1.91"),
    ("HMMD, real clips", "4.8", "1.26"),
    ("HMMD, separate", "2.9", "4.24"),
    ("HMMD, joint", "3.5", "4.33"),
)
"""Table 4 of the paper: judged by people, IS."""
CAVEATS = (
    "Its generated videos have a higher inception score than its real ones (4.33 against 1.26). So "
    "the network behind that score did not know such pictures, and rewarded artefacts for their "
    "variety. Look at how near a score is to that of real clips, not at how high it is.",
    "Its text speaks of gains of 0.3 % and 0.9 %; its table shows +0.03 and +0.09, which is 1.6 % "
    "and 2.1 %.",
    "Where its text speaks of table 2, it means table 3.",
    "Its pitch entropy of 7.53 cannot be an entropy over the 128 notes of a piano roll, at most "
    "4.85 nats or 7 bits: it is of another quantity than the ones here, and of an unknown one.",
    "It gives no intervals, seeds or numbers of clips, no number of bins for NDB, and neither how "
    "many people judged nor on which scale. So its values cannot be reproduced; what can be is the "
    "order of the models, by the same judges for all.",
)
FOOTER = (
    'The same numbers, for machines: <a href="scores.json">scores.json</a>, '
    '<a href="scores.csv">scores.csv</a>.'
)


class Player(NamedTuple):
    """One clip on the page; links are relative."""

    title: str
    video: str
    strip: str
    spectrogram: str


class Shown(NamedTuple):
    """The clips of one model."""

    title: str
    note: str
    players: list[Player]
    folded: bool


class Board:
    """Rows by what stands in a table: names down, metrics across."""

    def __init__(self, rows: Iterable[Row], who: Mapping[str, Sequence[str]]) -> None:
        self.rows = {(r.name, r.metric, r.rule): r for r in rows}
        self.who = who
        self.found = Found(self.rows.values())
        self.metrics = list(dict.fromkeys(r.metric for r in self.rows.values()))

    def find(self, name: str, metric: str) -> Row | None:
        """The row of a group, a model, or the real clips."""
        rule = SEEDS if len(self.who.get(name, ())) > 1 else NO_RULE
        return self.rows.get((name, metric, rule))

    def runs(self) -> dict[str, list[str]]:
        """Single runs that are part of a group."""
        return {run: [run] for runs in self.who.values() if len(runs) > 1 for run in runs}

    def columns(self, known: Iterable[str]) -> list[str]:
        """Metrics of a table that there are, and the same by published networks."""
        there = [m for m in self.metrics if is_column(m)]
        return [m for k in known for m in there if m.partition("[")[0] == k]


# In short.


def claims_section(claims: Sequence[Claim], notes: Sequence[str]) -> str:
    """What the evaluation shows, first of all whether the picture belongs to the sound."""
    first = [c for c in claims if (c.evidence and c.evidence[0].p) or not c.evidence]
    others = [c for c in claims if c not in first]
    words = (
        "<p>A model whose pictures and sounds are made independently of each other scores as well "
        "when its sounds are exchanged among its clips. The p-value is the share of such exchanges "
        f"that do: a p of at most {ALPHA:g}, shared among the scores of a line, counts as shown "
        "in all runs; where not all runs have that, it is shared among the runs as well. A line "
        "<em>holds</em> if every score shows it in every run, and holds <em>partly</em> if some "
        "do.</p>"
    )
    parts = [
        "<h3>Does the generated picture belong to the generated sound?</h3>",
        words,
        _claim_list(first),
    ]
    if others:
        parts += ["<h3>What else?</h3>", _claim_list(others)]
    if notes:
        items = "".join(f"<li>{safe(note)}</li>" for note in notes)
        parts.append(
            folded(f"Not scored, or not as asked for ({len(notes)})", card(f"<ul>{items}</ul>"))
        )
    return "".join(parts)


def _claim_list(claims: Sequence[Claim]) -> str:
    items = []
    for claim in claims:
        evidence = "<br>".join(safe(_evidence(one)) for one in claim.evidence)
        items.append(
            f'<li><span class="verdict {claim.verdict.replace(" ", "-")}">'
            f"{claim.verdict.capitalize()}</span><span>{safe(claim.text)}</span>"
            f'<span class="evidence">{evidence}</span></li>'
        )
    return f'<ul class="claims">{"".join(items)}</ul>'


def _evidence(one: Evidence) -> str:
    """One line of numbers."""
    d = label(one.metric).decimals
    d = None if d is None else min(d, 2)
    beside = [f"real {number(one.real, d)}"]
    if one.chance is not None:
        beside.insert(0, f"chance {number(one.chance, d)}")
    text = f"{one.what}: {number(one.value, d)} ({', '.join(beside)})"
    if len(one.p) == 1:
        text += f", {p_label(one.p[0])}"
    elif one.p:
        text += f", p ≤ {one.level:.2g} in {one.shown} of {len(one.p)} runs"
    return text


# Tables.


def sound_section(board: Board) -> str:
    """Table 3."""
    words = (
        "The scores of the paper's table 3, and what makes them readable: the same numbers of real "
        "clips, and a kernel distance, which does not depend on the number of clips."
    )
    head = ("", "By people", "NDB", "FID", "IS", "PE")
    published = _published("table 3 (sound)", head, PUBLISHED_SOUND)
    return _tables(board, {"": SOUND}, words) + published


def picture_section(board: Board) -> str:
    """Table 4."""
    words = (
        "The paper's table 4 has the inception score alone. Distances from real clips say more: of "
        "whole videos, with their motion, and of single frames."
    )
    published = _published("table 4 (video)", ("", "By people", "IS"), PUBLISHED_PICTURE)
    return _tables(board, {"Whole videos": VIDEO, "Single frames": FRAMES}, words) + published


def together_section(board: Board) -> str:
    """Whether picture and sound belong together."""
    words = (
        "The paper does not measure this. Small letters: what the same clips score with exchanged "
        "sounds (chance), and the p-value of that comparison. It is exact, whatever is scored and "
        "however well: if picture and sound are independent, p is below 0.01 once in a hundred."
    )
    tables = {
        "By what is seen and heard, without training; unreadable clips are failures": READ,
        "By a judge of what belongs together, and by a published score": MATCHED,
    }
    return _tables(board, tables, words)


def variety_section(board: Board, compared: Mapping[str, Any]) -> str:
    """Whether the clips are where real ones are, everywhere, and no copies."""
    words = (
        "Good clips that are all alike, or all learned by heart, can score well above. By the "
        f"features of the judges of sound and of video. Copies were looked for among "
        f"{looked_at(compared)}."
    )
    return _tables(board, {"Sound": VARIETY_SOUND, "Video": VARIETY_VIDEO}, words)


def _tables(board: Board, tables: Mapping[str, Mapping[str, Label]], words: str) -> str:
    """Tables of models and groups by their headings, and those of single runs on demand."""
    found = {h: metrics for h, known in tables.items() if (metrics := board.columns(known))}
    if not found:
        return f"<p>{safe(words)}</p><p>No judge was there to score this.</p>"
    single = Board(board.rows.values(), board.runs())
    parts, more = [f"<p>{safe(words)}</p>"], []
    for heading, metrics in found.items():
        title = f"<h3>{safe(heading)}</h3>" if heading else ""
        parts.append(card(title, _table(board, metrics)))
        more.append(card(title, _table(single, metrics)))
    if single.who:
        parts.append(folded("Single runs", "".join(more)))
    return "".join(parts)


def _table(board: Board, metrics: Sequence[str]) -> str:
    groups = [len(runs) for runs in board.who.values() if len(runs) > 1]
    caption = "The best value of a column is bold." if len(board.who) > 1 else ""
    if groups:
        caption = f"After ±: the standard deviation over {max(groups)} runs. {caption}"
    head = "".join(
        f'<th scope="col">{safe(label(m).text)}<br><span class="note">'
        f"{safe(', '.join(filter(None, (label(m).unit, WAYS[label(m).better]))))}</span></th>"
        for m in metrics
    )
    best = {m: _best(board, m) for m in metrics}
    body = []
    for name in (*board.who, REAL):
        cells = "".join(_cell(board, name, m, name in best[m]) for m in metrics)
        kind = "" if name == REAL else ' class="model"'
        count = len(board.who.get(name, ()))
        runs = f'<br><span class="note">{count} runs</span>' if count > 1 else ""
        body.append(f'<tr{kind}><th scope="row">{safe(name_label(name))}{runs}</th>{cells}</tr>')
    return table(caption.strip(), f'<tr><th scope="col">Model</th>{head}</tr>', body)


def _badness(board: Board, metric: str) -> Callable[[float], float] | None:
    """What is least for the best value of a column; None where nothing is compared."""
    real = board.find(REAL, metric)
    if len(board.who) < 2 or real is None:
        return None
    middle = real.value
    kinds: dict[str, Callable[[float], float]] = {
        "higher": lambda value: -value,
        "lower": lambda value: max(value, 0.0),  # An unbiased distance may fall below 0.
        "real": lambda value: abs(value - middle),
    }
    return kinds[label(metric).better]


def _best(board: Board, metric: str) -> set[str]:
    """Who has the best value of a column; several if theirs look the same."""
    rows = {name: row for name in board.who if (row := board.find(name, metric)) is not None}
    badness = _badness(board, metric)
    if badness is None or len(rows) < 2:
        return set()
    d = label(metric).decimals
    shown = {
        name: number(badness(row.value), None if d is None else max(d, 1))
        for name, row in rows.items()
    }
    least = min(rows, key=lambda name: badness(rows[name].value))
    return {name for name in rows if shown[name] == shown[least]}


def _cell(board: Board, name: str, metric: str, best: bool) -> str:
    row = board.find(name, metric)
    if row is None:
        return '<td><span aria-label="not applicable">–</span></td>'
    d = label(metric).decimals
    several = row.rule == SEEDS
    strong = ' class="best"' if best else ""
    d = 1 if several and d == 0 else d
    value, notes = number(row.value, d), []
    if several and math.isfinite(row.low):
        sd = row.value - row.low
        value += f" ± {number(sd, d) if d is not None else f'{sd:.2g}'}"
    elif math.isfinite(row.low):
        notes.append(f"[{number(row.low, d)}, {number(row.high, d)}]")
    chance = board.rows.get((name + REPAIRED, metric, row.rule))
    if chance is not None:
        notes.append(f"chance {number(chance.value, d)}")
    p = [
        found.value
        for run in board.who.get(name, (name,))
        if (found := board.rows.get((run, metric + P_VALUE, NO_RULE))) is not None
    ]
    if len(p) == 1:
        notes.append(p_label(p[0]))
    elif p:
        shown, level = runs_shown(p, len(board.found.asked(board.who[name])))
        notes.append(f"p ≤ {level:.2g} in {shown} of {len(p)}")
    return f"<td{strong}>{value}{''.join(f'<small>{safe(note)}</small>' for note in notes)}</td>"


def _published(which: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of the paper with all that is odd about it."""
    items = "".join(f"<li>{safe(text)}</li>" for text in CAVEATS)
    return folded(
        f"What the paper's {which} has, for reference only",
        card(
            plain_table("Kurmi et al., ICASSP 2021. Other data, other judges.", head, rows),
            "<p><br>None of these numbers may be compared with those above:</p>",
            f"<ul>{items}</ul>",
        ),
    )


# Clips.


def players_section(shown: Sequence[Shown]) -> str:
    """Clips to look at and to listen to, beside their film strip and spectrogram."""
    if not any(one.players for one in shown):
        return ""
    parts = [
        "<p>The first clips, not chosen ones. Beside each: its frames, and below them its sound "
        "over the same time (low tones at the bottom, bright is loud). Events that belong together "
        "stand one above the other.</p>"
    ]
    for one in shown:
        body = f'<div class="seen-heard">{"".join(map(_player, one.players))}</div>'
        note = f'<p class="note">{safe(one.note)}</p>' if one.note else ""
        if one.folded:
            parts.append(folded(one.title, card(note, body)))
        else:
            parts.append(card(f"<h3>{safe(one.title)}</h3>", note, body))
    return "".join(parts)


def _player(one: Player) -> str:
    return (
        f"<div>{player(one.title, '', one.video)}"
        f'<div class="clock"><img src="{safe(one.strip)}" alt="Film strip: {safe(one.title)}" '
        f'loading="lazy"><img src="{safe(one.spectrogram)}" '
        f'alt="Spectrogram: {safe(one.title)}" loading="lazy"></div></div>'
    )


# Words.


def reading_section(board: Board) -> str:
    """The words of the page explained."""
    used = {m.partition("[")[0] for m in board.metrics}
    items: list[tuple[str, str]] = []
    for key, one in LABELS.items():
        if key in used and one.meaning:
            items.append((one.text, one.meaning))
    items += [
        (
            "Real clips",
            "Every score of clips that nobody generated: the null value of distances, bins and "
            "copies, the ceiling of the others. It is not 0 or 1, and it says how much of a score "
            "is due to the judges and to the number of clips.",
        ),
        (
            "Chance, exchanged sounds",
            "The mean score of the same clips with sounds exchanged among them at random. What a "
            "model scores above it is due to its pairs; what is below it may as well be chance.",
        ),
        (
            "p",
            "The share of such exchanges that score at least as well as the model's own pairs. No "
            "p is smaller than one over the number of exchanges.",
        ),
        (
            "Interval, ±",
            "In brackets: how far a mean may be off because only these clips were drawn. After ±: "
            "the standard deviation over runs that differ only in the seed of their training, "
            "which says how far another training may be off.",
        ),
        (
            "[name]",
            "A score by a published network that was given as a file. Scores without a name are by "
            "the judges below, trained on the training clips of the same data.",
        ),
    ]
    body = "".join(f"<dt>{safe(word)}</dt><dd>{safe(text)}</dd>" for word, text in items)
    return card(f"<dl>{body}</dl>")


def protocol_section(protocol: Mapping[str, Any], judges: Sequence[Judged]) -> str:
    """How the numbers were made, first of all who judged."""
    if judges:
        rows = [(j.name, j.part, j.recipe or "–", j.sha256) for j in judges]
        head = ("Judge", "Looks at", "Trained by", "SHA-256 of its weights")
        who = card(plain_table("A score without its judge is void.", head, rows, words=(3,)))
    else:
        who = "<p>No judge was given: all scores are by spectrograms and by motion.</p>"
    shown = {key: value for key, value in protocol.items() if key != "judged_by"}
    return who + card(definitions(shown))

"""The sections of the page about cross-modal generation: plain HTML made from the tidy rows."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from soundsight.evaluation import joint_page
from soundsight.evaluation.crossmodal_claims import Claim
from soundsight.evaluation.crossmodal_labels import (
    ROLE_WORDS,
    TABLES,
    label,
    name_label,
    suffix,
)
from soundsight.evaluation.crossmodal_scores import (
    CHANCE,
    CLASS,
    COLUMNS,
    LEAST_RECORDINGS,
    MADE,
    MAJORITY,
    SHUFFLED,
)
from soundsight.evaluation.joint_labels import WAYS, number, p_label
from soundsight.evaluation.joint_page import FOOTER, Board
from soundsight.evaluation.joint_scores import P_VALUE, REAL, SEEDS, Judged
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.page.chart import bars
from soundsight.page.pieces import card, definitions, folded, plain_table, player, safe, table

__all__ = [
    "FOOTER", "Grid", "Played", "bars_section", "board_of", "claims_section", "classifier_section",
    "grids_section", "players_section", "protocol_section", "reading_section", "table_section",
]  # fmt: skip

PUBLISHED_ACCURACY = (
    ("Chen et al. 2017, sound to image, S2I-C", ".8737", ".7556"),
    ("Chen et al. 2017, sound to image, S2I-N", ".1262", ".1232"),
    ("Chen et al. 2017, sound to image, S2I-A", ".1063", ".1095"),
    ("Chen et al. 2017, image to sound, I2S", "–", ".1117"),
    ("CMCGAN 2018, sound to image", ".9105", ".7661"),
    ("CMCGAN 2018, image to sound", ".8109", ".5189"),
    ("SA-CMGAN 2020, sound to image", ".9375", ".8438"),
    ("SA-CMGAN 2020, image to sound", ".8750", ".5937"),
)
"""Accuracy on Sub-URMP as published: training and test pairs."""
ACCURACY_CAVEATS = (
    "Chen et al. judge by the encoders whose features their models are conditioned on. Here judges "
    "are networks of their own.",
    "S2I-N, S2I-A and I2S score what always answering the most frequent test class scores, 0.123 "
    "(1,180 of 9,575 pairs are of the double bass), or less: they show no sign of their condition.",
    "The .7556 of S2I-C is the best of 80 epochs by the test pairs themselves; five epochs before "
    "the fiftieth it had fallen to about a quarter, at the fiftieth to .07.",
    "Those of SA-CMGAN are of a single batch of 64 pairs: 95 % intervals are .74 to .91 and .47 to "
    ".71.",
    "None of them gives intervals. Test pairs are cut every 0.1 s from few recordings, and "
    "resemble each other.",
)
PUBLISHED_CLASSIFIER = (".9531", ".8863", ".9741", ".9804", ".9861")
"""CMCGAN's table of what its classifier is shown: V, A, V-A, GV-A, GA-V."""
CLASSIFIER_CAVEAT = (
    "A generated part is computed from the other one and adds nothing to it. So where GV-A or GA-V "
    "exceeds V-A, as published, it speaks of how the classifier was trained, not of what was "
    "generated."
)


class Grid(NamedTuple):
    """One picture of what a model made; the link is relative."""

    title: str
    role: str
    file: str
    rows: list[str]
    """What was given in each row."""
    columns: list[str]


class Played(NamedTuple):
    """Players of one model in one direction, or of the real pairs."""

    title: str
    players: list[tuple[str, str]]
    """Title and relative link of each."""


def board_of(rows: Iterable[Row], who: Mapping[str, Sequence[str]]) -> Board:
    """Rows by what stands in a table: models, groups, and their shuffled doubles."""
    doubles = {name + SHUFFLED: [run + SHUFFLED for run in runs] for name, runs in who.items()}
    return Board(rows, {**who, **doubles})


# In short.


def claims_section(claims: Sequence[Claim], notes: Sequence[str]) -> str:
    """What the evaluation shows, and what it could not score."""
    items = []
    for claim in claims:
        evidence = "<br>".join(safe(_evidence(row, claim.level)) for row in claim.evidence)
        items.append(
            f'<li><span class="verdict {claim.verdict.replace(" ", "-")}">'
            f"{claim.verdict.capitalize()}</span><span>{safe(claim.text)}</span>"
            f'<span class="evidence">{evidence}</span></li>'
        )
    words = (
        "<p>A line <em>holds</em> if the whole interval of every run lies on the right side, and "
        "holds <em>partly</em> if that of some runs does; if the pairs are of fewer than "
        f"{LEAST_RECORDINGS} recordings, nothing is shown. A model that ignores what it is given "
        "can show good pictures; it scores the same when it is given another clip.</p>"
    )
    parts = [words, f'<ul class="claims">{"".join(items)}</ul>'] if items else []
    if notes:
        listed = "".join(f"<li>{safe(note)}</li>" for note in notes)
        heading = f"Not scored, or not as asked for ({len(notes)})"
        parts.append(folded(heading, card(f"<ul>{listed}</ul>")))
    return "".join(parts)


def _evidence(row: Row, level: float) -> str:
    interval = "" if math.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]"
    what = "difference" if " - " in row.name else row.name
    return f"{what}: {row.value:.3f}{interval}, to exceed {level:.3g}"


# Tables.


def table_section(board: Board, heading: str, words: str) -> str:
    """The tables of one kind of score, one for each direction."""
    parts = []
    for role in MADE:
        metrics = board.columns([f"{role}_{metric}" for metric in TABLES[heading]])
        if metrics:
            parts.append(card(f"<h3>{safe(ROLE_WORDS[role])}</h3>", _table(board, metrics)))
    if not parts:
        return ""
    published = _published_accuracy() if heading == "Accuracy" else ""
    return f"<p>{safe(words)}</p>{''.join(parts)}{published}"


def _table(board: Board, metrics: Sequence[str]) -> str:
    """Models with their doubles, their single runs, and the controls."""
    head = "".join(
        f'<th scope="col">{safe(label(m).text)}<br><span class="note">'
        f"{safe(WAYS[label(m).better])}</span></th>"
        for m in metrics
    )
    own = [name for name in board.who if not name.endswith(SHUFFLED)]
    names = [each for name in own for each in (name, name + SHUFFLED)]
    body = []
    for name in (*names, REAL, MAJORITY, CHANCE):
        if any(board.find(name, m) is not None for m in metrics):
            cells = "".join(_cell(board, name, m) for m in metrics)
            kind = ' class="model"' if name in own else ""
            runs = len(board.who.get(name, ()))
            note = f'<br><span class="note">{runs} runs</span>' if runs > 1 else ""
            title = safe(name_label(name))
            body.append(f'<tr{kind}><th scope="row">{title}{note}</th>{cells}</tr>')
    caption = "In brackets: the interval over recordings."
    if any(len(runs) > 1 for runs in board.who.values()):
        caption += " After ±: the standard deviation over runs that differ only in their seed."
    return table(caption, f'<tr><th scope="col">Who</th>{head}</tr>', body)


def _cell(board: Board, name: str, metric: str) -> str:
    row = board.find(name, metric)
    if row is None:
        return '<td><span aria-label="not applicable">–</span></td>'
    d = label(metric).decimals
    value, notes = number(row.value, d), []
    if math.isfinite(row.low):
        if row.rule == SEEDS:
            value += f" ± {number(row.value - row.low, d)}"
        else:
            notes.append(f"[{number(row.low, d)}, {number(row.high, d)}]")
    tested = [
        found.value
        for run in board.who.get(name, (name,))
        if (found := board.rows.get((run, metric + P_VALUE, NO_RULE))) is not None
    ]
    if tested:
        most = "" if len(tested) == 1 else "at most "
        notes.append(most + p_label(max(tested)))
    return f"<td>{value}{''.join(f'<small>{safe(note)}</small>' for note in notes)}</td>"


def _published_accuracy() -> str:
    items = "".join(f"<li>{safe(text)}</li>" for text in ACCURACY_CAVEATS)
    head = ("Accuracy on Sub-URMP", "Training pairs", "Test pairs")
    return folded(
        "What the papers' tables have, for reference only",
        card(
            plain_table("Other data, other judges.", head, PUBLISHED_ACCURACY),
            "<p><br>None of these numbers may be compared with those above:</p>",
            f"<ul>{items}</ul>",
        ),
    )


def classifier_section(board: Board) -> str:
    """CMCGAN's second table: a model's own classifier, by what it is shown."""
    metrics = [f"classifier[{column}]" for column in COLUMNS]
    rows = []
    for name in board.who:
        if any(board.find(name, metric) is not None for metric in metrics):
            rows.append([name_label(name), *(_plain(board.find(name, m)) for m in metrics)])
    if not rows:
        return ""
    judges = [board.find(REAL, f"{role}_accuracy") for role in MADE]
    rows.append(["Judges of real clips", *map(_plain, judges), "–", "–", "–"])
    floor = [board.find(MAJORITY, f"{role}_accuracy") for role in MADE]
    known = next((row for row in floor if row is not None), None)
    rows.append([name_label(MAJORITY), *[_plain(known)] * len(metrics)])
    published = plain_table(
        "CMCGAN as published, on Sub-URMP; other data.",
        ("", *COLUMNS),
        [("CMCGAN", *PUBLISHED_CLASSIFIER)],
    )
    words = (
        "V: a picture; A: a sound; V-A: both; GV-A: a sound and the picture generated from it; "
        "GA-V: a picture and the sound generated from it."
    )
    return (
        f"<p>{safe(words)}</p>"
        + card(plain_table("Accuracy of a model's own classifier.", ("Who", *COLUMNS), rows))
        + folded("What the paper's table has", card(published, f"<p>{CLASSIFIER_CAVEAT}</p>"))
    )


def _plain(row: Row | None) -> str:
    if row is None:
        return "–"
    if math.isnan(row.low):
        return f"{row.value:.3f}"
    if row.rule == SEEDS:
        return f"{row.value:.3f} ± {row.value - row.low:.3f}"
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"


def bars_section(rows: Sequence[Row], models: Sequence[str], classes: Sequence[str]) -> str:
    """How many pairs of each class are right, by model and direction; the first ones unfolded."""
    parts = []
    for role in MADE:
        for i, name in enumerate((REAL, *models)):
            counts = {}
            for row in rows:
                start = f"{role}_accuracy{CLASS}"
                if row.name == name and row.metric.startswith(start) and row.rule == NO_RULE:
                    title = classes[int(row.metric.removeprefix(start))]
                    right = round(row.value * row.n)
                    counts[title] = {"right": right, "wrong": row.n - right}
            if counts:
                title = f"{ROLE_WORDS[role]}: {name_label(name)}"
                drawn = bars(counts, parts=("right", "wrong"), name=f"bars-{role}-{i}", title=title)
                parts.append(folded(title, card(drawn)))
    if not parts:
        return ""
    return "<p>Pairs of each class, right and wrong, by the judge.</p>" + "".join(parts)


# Pictures and players.


def grids_section(grids: Sequence[Grid]) -> str:
    """What was made, one row for each given clip."""
    parts = []
    for grid in grids:
        title = f"{grid.title}: {ROLE_WORDS[grid.role].lower()}"
        rows = "<br>".join(safe(row) for row in grid.rows)
        words = f"From the left: {', '.join(grid.columns)}. From above:"
        parts.append(
            card(
                f"<h3>{safe(title)}</h3>",
                f'<div class="strips"><div><strong>{safe(words)}<br>{rows}</strong>'
                f'<img src="{safe(grid.file)}" alt="Outputs of {safe(title)}" loading="lazy">'
                "</div></div>",
            )
        )
    if not parts:
        return ""
    return "<p>The first pairs of each class, not chosen ones.</p>" + "".join(parts)


def players_section(played: Sequence[Played]) -> str:
    """Pairs to look at and to listen to: real ones, and what was made beside what was given."""
    parts = []
    for i, one in enumerate(played):
        shown = "".join(player(title, "", file) for title, file in one.players)
        body = f'<div class="players">{shown}</div>'
        block = card(f"<h3>{safe(one.title)}</h3>", body) if not i else None
        parts.append(block or folded(one.title, card(body)))
    return "".join(parts)


# Words.


def reading_section(board: Board) -> str:
    """The words of the page explained."""
    used = {suffix(metric).partition("[")[0] for metric in board.metrics}
    items = [
        (one.text, one.meaning)
        for known in TABLES.values()
        for key, one in known.items()
        if key in used and one.meaning
    ]
    items += [
        (
            "Given another clip",
            "The model is given the sound (or the picture) of another clip, of another class, and "
            "is scored against the clip that it was not given. Listening, it scores below the "
            "floor; as well as before, it does not listen.",
        ),
        (
            "Interval",
            "How far a score may be off because only these recordings were drawn. Clips of one "
            "recording resemble each other, so whole recordings are drawn.",
        ),
    ]
    body = "".join(f"<dt>{safe(word)}</dt><dd>{safe(text)}</dd>" for word, text in items)
    return card(f"<dl>{body}</dl>")


def protocol_section(protocol: Mapping[str, Any], judges: Sequence[Judged]) -> str:
    """How the numbers were made, first of all who judged."""
    if judges:
        return joint_page.protocol_section(protocol, judges)
    shown = {key: value for key, value in protocol.items() if key != "judged_by"}
    words = "No judge was given: scored is only what can be read without training."
    return f"<p>{words}</p>" + card(definitions(shown))


def lead(compared: Mapping[str, Any], models: Sequence[str], spec: Any, split: str) -> str:
    """What was done, in two sentences."""
    who = "one model" if len(models) == 1 else f"each of {len(models)} models"
    return (
        f"{compared['clips']:,} pairs of a picture ({spec.size} x {spec.size} pixels) and "
        f"{spec.seconds:.3g} s of sound ({spec.sample_rate} Hz), from {compared['recordings']:,} "
        f"recordings of the {split} split. One part was given to {who}, which made the other."
    )

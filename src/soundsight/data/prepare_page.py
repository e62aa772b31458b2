"""The page of a preparation's report: its sections as HTML, made from numbers and names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from soundsight.media.clip import ClipSpec
from soundsight.page.chart import Histogram, bars, histogram
from soundsight.page.pieces import (
    card,
    definitions,
    document,
    folded,
    plain_table,
    player,
    safe,
)

FIRST_BAD, MOST_BAD = 20, 200
"""Files with errors that are shown at once, and on demand; report.json has all."""
MOST_BARS = 20
"""Labels in the chart; the others are in the table."""
MOST_LABELS = 1000
"""Labels in the table; report.json has all."""
MOST_NOTES = 10
"""Notes that are shown without being asked for."""
NBSP = "\u00a0"
"""Between a number and its unit, which stay in one line."""
FOOTER = 'The same numbers, for machines: <a href="report.json">report.json</a>.'
CODECS = {"mp4": "visually lossless (H.264)", "raw": "kept exactly"}
"""How pictures are stored."""
RULES = {
    "source": "All clips of a source, and of a group of sources that belong together, are in one "
    "split, chosen by the group's name: no split has seen what another one holds. Where there are "
    "too few sources for that, a source is cut in time, with a gap between its parts.",
    "published": "The splits are those that the data set was published with.",
    "clip": "Each clip was given its split by itself.",
}
"""How clips came to their splits, by the manifest's word."""
AXES = {
    "seconds": ("Length of the sources", "seconds"),
    "rms_db": ("Loudness of the clips", "RMS as recorded, dBFS"),
    "motion": ("Motion in the clips", "mean change of frames, share of full range"),
}
"""Title and axis of each histogram."""


@dataclass(frozen=True)
class Numbers:
    """What the data set holds: "contents" of report.json."""

    title: str
    spec: ClipSpec
    codec: str
    split_rule: str
    splits: Mapping[str, Mapping[str, Any]]
    """Clips, seconds, sources, groups and labels of each split."""
    shared: Mapping[str, int]
    """Number of sources and of groups with clips in several splits."""
    labels: Mapping[str, Mapping[str, int]]
    """Clips of each label by split; "": those without one."""


class Tile(NamedTuple):
    """A clip that is shown."""

    key: str
    label: str
    """Its label, or its source if it has none."""
    where: str
    """Source, time and split."""
    file: str
    """Relative link."""


def tile(record: Any, split: str, file: str) -> Tile:
    """The words beside a clip of the prepared data set."""
    label = record.label or record.source.rsplit("/", 1)[-1]
    where = f"{record.source} at {record.start_s:.6g} s, {split}"
    return Tile(record.key, label, where, file)


def render(
    numbers: Numbers,
    summary: Mapping[str, Any],
    found: Mapping[str, Histogram],
    tiles: Sequence[Tile],
    players: Sequence[Tile],
    *,
    columns: int,
) -> str:
    """The whole page.

    Args:
        numbers: of the data set.
        summary: of its preparation, as `write_report` takes it.
        found: histograms, by the names of `AXES`.
        tiles: pictures of the contact sheet, row by row; all in one file.
        players: clips to play.
        columns: of the contact sheet's file.

    Returns:
        An HTML document.
    """
    sections = [
        ("In short", _short_section(numbers, summary)),
        ("Pictures", _sheet_section(tiles, columns, numbers.spec)),
        ("Look and listen", _players_section(players)),
        ("Splits", _splits_section(numbers)),
        ("Kept and dropped", _dropped_section(summary)),
        ("Files with errors", _bad_section(summary["sources"]["bad"])),
        ("Labels", _labels_section(numbers)),
        ("Distributions", _histograms_section(found)),
        ("How it was made", _made_section(summary)),
    ]
    return document(numbers.title, _lead(numbers), sections, footer=FOOTER)


def _lead(numbers: Numbers) -> str:
    """The clip in words."""
    s = numbers.spec
    color = "grey" if s.channels == 1 else "RGB"
    pictures = (
        f"one picture of {s.size} × {s.size} pixels ({color})"
        if s.frames == 1
        else f"{s.frames} frames of {s.size} × {s.size} pixels ({color}) at {s.fps:g} per second"
    )
    return (
        f"Prepared clips of {s.seconds:.4g} s: {pictures} with {s.samples:,} samples of mono sound "
        f"at {s.sample_rate:,} Hz. Pictures are {CODECS.get(numbers.codec, numbers.codec)}, sound "
        "is 16 bit."
    )


def duration(seconds: float | int) -> str:
    """A duration in words that people use.

    Example:
        >>> [duration(s).replace(NBSP, " ") for s in (9, 90, 5400)]
        ['9.0 s', '1.5 min', '1.50 h']
    """
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    if seconds < 3600:
        return f"{seconds / 60:.1f}{NBSP}min"
    return f"{seconds / 3600:,.2f}{NBSP}h"


def _share(part: int, whole: int) -> str:
    """A share as a percentage that is 0 or 100 only if it is exact."""
    share = 100 * part / whole if whole else 0.0
    if 0 < share < 0.05:
        return f"<0.1{NBSP}%"
    return f">99.9{NBSP}%" if 99.95 <= share < 100 else f"{share:.1f}{NBSP}%"


def _short_section(numbers: Numbers, summary: Mapping[str, Any]) -> str:
    """The numbers that matter, and what one should know."""
    clips, sources = summary["clips"], summary["sources"]
    kept, dropped = clips["kept"], sum(clips["dropped"].values())
    facts = [
        (f"{kept:,}", "clips kept"),
        (duration(kept * numbers.spec.seconds), "of picture and sound"),
        (f"{sources['used']:,}", f"of {sources['total']:,} sources used"),
        (f"{dropped:,}", f"clips dropped ({_share(dropped, kept + dropped)})"),
    ]
    if numbers.labels:
        facts.append((f"{len([name for name in numbers.labels if name]):,}", "labels"))
    if sources["bad"]:
        facts.append((f"{len(sources['bad']):,}", "files with errors"))
    items = "".join(f"<li><strong>{safe(n)}</strong>{safe(what)}</li>" for n, what in facts)
    return f'<ul class="facts">{items}</ul>{_leakage(numbers)}{_notes(summary["notes"])}'


def _leakage(numbers: Numbers) -> str:
    """A warning, if clips of one group stand in several splits and nothing keeps them apart."""
    if numbers.split_rule == "source" or not (
        numbers.split_rule == "clip" or numbers.shared["groups"]
    ):
        return ""
    return (
        '<p class="warning"><strong>The splits leak.</strong> '
        f"In more than one split: {_counted(numbers.shared)}. Scores on held-out clips flatter: a "
        "model has seen the same recordings in training. Splitting by source avoids this.</p>"
    )


def _counted(shared: Mapping[str, int]) -> str:
    return f"{shared['sources']:,} sources, {shared['groups']:,} groups"


def _notes(notes: Sequence[str]) -> str:
    items = [f"<li>{safe(note)}</li>" for note in notes]
    if not items:
        return ""
    shown = f"<ul>{''.join(items[:MOST_NOTES])}</ul>"
    more = f"<ul>{''.join(items[MOST_NOTES:])}</ul>"
    if len(items) > MOST_NOTES:
        shown += folded(f"{len(items) - MOST_NOTES:,} more notes", more)
    return card("<h3>Notes</h3>", shown)


def _sheet_section(tiles: Sequence[Tile], columns: int, spec: ClipSpec) -> str:
    """The contact sheet: parts of one picture, each with its label under it."""
    if not tiles:
        return ""
    rows, figures = -(-len(tiles) // columns), []
    for i, one in enumerate(tiles):
        x, y = (
            100 * at / max(1, number - 1)
            for at, number in ((i % columns, columns), (i // columns, rows))
        )
        words = safe(f"{one.label}: {one.where}")
        figures.append(
            f'<figure><div class="tile" role="img" title="{words}" aria-label="{words}" '
            f'style="background-size:{columns}00% {rows}00%;'
            f'background-position:{x:.4g}% {y:.4g}%"></div>'
            f"<figcaption>{safe(one.label)}</figcaption></figure>"
        )
    small = " pixels" if spec.size < 96 else ""
    file = tiles[0].file
    return card(
        '<p class="note">Middle frames of clips from everywhere, in order of their sources; also '
        f'as <a href="{file}">one picture</a>.</p>',
        f'<div class="sheet{small}" style="--sheet:url({file})">{"".join(figures)}</div>',
    )


def _players_section(players: Sequence[Tile]) -> str:
    if not players:
        return ""
    figures = "".join(player(one.label, one.where, one.file) for one in players)
    words = '<p class="note">Clips of every split, evenly chosen, with their sound.</p>'
    return card(words, f'<div class="players beside">{figures}</div>')


def _splits_section(numbers: Numbers) -> str:
    """What is in each split, and how it came there."""
    rows = []
    for name, split in numbers.splits.items():
        counts = [f"{split[key]:,}" for key in ("sources", "groups", "labels")]
        rows.append([name, f"{split['clips']:,}", duration(split["seconds"]), *counts])
    rule = RULES.get(numbers.split_rule, numbers.split_rule)
    shared = numbers.shared
    apart = "No source and no group has clips in more than one split."
    if shared["sources"] or shared["groups"]:
        apart = f"In more than one split: {_counted(shared)}."
    head = ["Split", "Clips", "Duration", "Sources", "Groups", "Labels"]
    return (
        f"<p>{safe(rule)} {safe(apart)}</p>"
        f"{card(plain_table('A group is what must not stand in two splits.', head, rows))}"
    )


def _dropped_section(summary: Mapping[str, Any]) -> str:
    """Clips by what became of them, with an example of each reason."""
    kept, dropped = summary["clips"]["kept"], summary["clips"]["dropped"]
    total = kept + sum(dropped.values())
    rows = [["kept", f"{kept:,}", _share(kept, total), ""]]
    for word, number in sorted(dropped.items(), key=lambda item: (-item[1], item[0])):
        example = _example(word, summary["dropped"])
        rows.append([word, f"{number:,}", _share(number, total), example])
    caption = "All clips that were cut out of the sources." if dropped else "Nothing was dropped."
    head = ["Outcome", "Clips", "Share", "For example"]
    return card(plain_table(caption, head, rows, words=[3]))


def _example(word: str, dropped: Sequence[Mapping[str, Any]]) -> str:
    """The first clip that was dropped for a reason."""
    for row in dropped:
        if row["reason"].partition(":")[0] == word:
            reason = row["reason"].partition(":")[2].strip()
            return f"{row['source']} at {row['start_s']:.6g} s{': ' if reason else ''}{reason}"
    return ""


def _bad_section(bad: Sequence[Mapping[str, str]]) -> str:
    if not bad:
        return ""
    rows = [[row["source"], row["reason"]] for row in bad[:MOST_BAD]]
    caption = f"{len(bad):,} files; what came before an error is kept."
    if len(bad) > MOST_BAD:
        caption += f" The first {MOST_BAD} are shown; report.json has all."
    head = ["File", "Reason"]
    shown = plain_table(caption, head, rows[:FIRST_BAD], words=[0, 1])
    if len(rows) > FIRST_BAD:
        more = plain_table("", head, rows[FIRST_BAD:], words=[0, 1])
        shown += folded(f"{len(rows) - FIRST_BAD} more", more)
    return card(shown)


def _labels_section(numbers: Numbers) -> str:
    """The most frequent labels as bars, all of them as a table."""
    if not numbers.labels:
        return ""
    splits = list(numbers.splits)
    named = {name or "(no label)": counts for name, counts in numbers.labels.items()}
    order = sorted(named, key=lambda name: -sum(named[name].values()))
    words = f"{len(order):,} labels; clips of " + ", ".join(splits) + "."
    if len(order) > MOST_BARS:
        words += f" The {MOST_BARS} most frequent are drawn, all are in the table."
    chart = bars(
        {name: named[name] for name in order[:MOST_BARS]},
        parts=splits,
        name="labels",
        title="Clips of each label",
    )
    rows = [
        [name, *(f"{counts[split]:,}" for split in splits), f"{sum(counts.values()):,}"]
        for name, counts in list(named.items())[:MOST_LABELS]
    ]
    caption = "In the order of their numbers."
    if len(named) > MOST_LABELS:
        caption += f" The first {MOST_LABELS:,} of {len(named):,}; report.json has all."
    listed = plain_table(caption, ["Label", *splits, "All"], rows)
    return card(f'<p class="note">{safe(words)}</p>', chart, folded("As a table", listed))


def _histograms_section(found: Mapping[str, Histogram]) -> str:
    figures = []
    for name, one in found.items():
        title, axis = AXES[name]
        figures.append(
            f'<figure class="card"><h3>{safe(title)}</h3>'
            f"{histogram(one, name=name.replace('_', '-'), title=title, axis=axis)}</figure>"
        )
    return f'<div class="trio">{"".join(figures)}</div>' if figures else ""


def _made_section(summary: Mapping[str, Any]) -> str:
    """The command and every setting."""
    return card(f"<p><code>{safe(summary['command'])}</code></p>", definitions(summary["settings"]))

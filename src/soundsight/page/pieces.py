"""Pieces of HTML: a document, tables, definitions, players.

Everything written by a user goes through `safe`; links are relative, and without `safe` they hold
only names that we gave.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from soundsight.page.style import CSS, SCRIPT

HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that cannot be shown, or not in one line: control characters, surrogates
(bytes of file names that are no UTF-8), separators of lines and paragraphs."""
TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""They reorder the letters after them, beyond the end of a name."""
FOLDED = 200
"""Longest value of a definition, in characters, that is shown without being asked for."""


def safe(text: str) -> str:
    r"""Any text as one line of HTML, good for elements and for quoted attributes.

    Args:
        text: anything, such as a file's name. What cannot be shown becomes its escape in Python.

    Returns:
        HTML that can be encoded as UTF-8.

    Example:
        >>> safe("a<b" + chr(10) + chr(0xDCFF))
        'a&lt;b\\n\\udcff'
    """
    if not text.isprintable():
        text = "".join(_visible(letter) for letter in text)
    return escape(text)


def _visible(letter: str) -> str:
    if unicodedata.category(letter) in HIDDEN or letter in TURNING:
        return letter.encode("unicode_escape").decode("ascii")
    return letter


def document(
    title: str, lead: str, sections: Iterable[tuple[str, str]], *, footer: str = ""
) -> str:
    """A whole page.

    Args:
        title: of the page, plain text.
        lead: one paragraph under it, plain text.
        sections: heading (plain text) and HTML of each; an empty one is left out.
        footer: HTML at the end.

    Returns:
        An HTML document without any external resource.
    """
    kept = [(heading, body) for heading, body in sections if body]
    links = "".join(f'<a href="#s{i}">{safe(h)}</a>' for i, (h, _) in enumerate(kept))
    bodies = "".join(
        f'<section id="s{i}" aria-labelledby="h{i}"><h2 id="h{i}">{safe(h)}</h2>{body}</section>'
        for i, (h, body) in enumerate(kept)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f'<header><h1>{safe(title)}</h1><p class="lead">{safe(lead)}</p>'
        f'<nav aria-label="Sections">{links}</nav></header>\n'
        f"<main>{bodies}<footer>{footer}</footer>"
        f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def card(*parts: str) -> str:
    """A framed block of HTML."""
    return f'<div class="card">{"".join(parts)}</div>'


def folded(summary: str, body: str) -> str:
    """HTML that is shown when its summary (plain text) is clicked."""
    return f"<details><summary>{safe(summary)}</summary>{body}</details>"


def table(caption: str, head: str, body: Sequence[str]) -> str:
    """A table that scrolls sideways on its own.

    Args:
        caption: plain text.
        head: HTML of the heading row, a `tr`.
        body: HTML of the other rows.

    Returns:
        HTML.
    """
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table">'
        f"<table><caption>{safe(caption)}</caption><thead>{head}</thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def plain_table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Sequence[int] = (),
) -> str:
    """A table of plain text; the first column names the rows.

    Args:
        caption: plain text.
        head: a heading of each column, plain text.
        rows: a cell for each column, plain text.
        words: numbers of the columns, from 0, that hold words: on the left, in several lines.

    Returns:
        HTML.
    """
    kinds = [' class="words"' if i in words else "" for i in range(len(head))]
    headings = "".join(
        f'<th scope="col"{kind}>{safe(text)}</th>' for text, kind in zip(head, kinds, strict=True)
    )
    body = []
    for first, *others in rows:
        cells = "".join(
            f"<td{kind}>{safe(text)}</td>" for text, kind in zip(others, kinds[1:], strict=True)
        )
        body.append(f'<tr><th scope="row"{kinds[0]}>{safe(first)}</th>{cells}</tr>')
    return table(caption, f"<tr>{headings}</tr>", body)


def definitions(values: Mapping[str, Any]) -> str:
    """A list of names and values; collections as JSON, folded away where they are long."""
    items = []
    for key, value in values.items():
        if isinstance(value, Mapping | list | tuple):
            shown = f"<pre>{escape(json.dumps(value, indent=1, default=str))}</pre>"
            if len(shown) > FOLDED:
                shown = folded("show", shown)
        else:
            shown = safe("–" if value is None else str(value))
        items.append(f"<dt>{safe(key.replace('_', ' '))}</dt><dd>{shown}</dd>")
    return f"<dl>{''.join(items)}</dl>"


def player(title: str, note: str, video: str, *, seen_s: float | None = None) -> str:
    """A video with controls and words under it.

    Args:
        title: plain text.
        note: more words after it, plain text.
        video: relative link.
        seen_s: from when on it is outlined while it plays, seconds; None: never.

    Returns:
        HTML, to be put into an element of the class "players".
    """
    label = safe(title)
    seen = "" if seen_s is None else f'data-seen="{seen_s:.4f}" '
    return (
        f'<figure><video controls loop playsinline preload="metadata" src="{escape(video)}" '
        f'{seen}aria-label="{label}"></video>'
        f"<figcaption><strong>{label}</strong>{safe(note)}</figcaption></figure>"
    )

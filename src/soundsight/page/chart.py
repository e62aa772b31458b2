"""Charts as inline SVG: histograms and bars, which need no script and follow the page's colors.

Positions across are percentages and letters have a fixed size, so a chart is as legible on a
telephone as on a wide screen. Colors are those of `soundsight.page.style`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from soundsight.page.pieces import safe

BINS = 32
"""About how many bins a histogram has."""
NICE = (1.0, 2.0, 5.0, 10.0)
"""Steps of an axis, times a power of ten."""
EQUAL = 1e-6
"""Values that differ by less than this share of their size are one value."""
PLOT = 92
"""Height of the bars of one series of a histogram, pixels."""
HEAD = 38
"""Room for the words above them."""
LEFT = 44
"""Room to the left of the bars, pixels; the style's margin is a little more."""
ROW = 36
"""Height of one row of a bar chart, pixels."""
COLORS = 4
"""Number of colors that the style has."""
LONGEST = 28
"""Letters of a name in a bar chart; a longer one is cut, and whole in its title."""


class Series(NamedTuple):
    """One series of a histogram."""

    counts: list[int]
    """Values in each bin."""
    number: int
    """Values in all bins."""
    missing: int
    """Values that are not finite, in no bin."""
    low: float
    median: float
    high: float
    """Of the values in the bins; 0 if there are none."""


@dataclass(frozen=True)
class Histogram:
    """How often which values occur, in bins that several series share."""

    edges: list[float]
    """Ascending, one more than bins; a bin has its lower edge, the last one both."""
    series: dict[str, Series]
    """By name."""
    log: bool
    """Whether the bins are equally wide on a logarithmic axis."""

    def numbers(self) -> dict[str, Any]:
        """The same for JSON."""
        series = {name: one._asdict() for name, one in self.series.items()}
        return {"edges": self.edges, "log": self.log, "series": series}


def bin_values(
    values: Mapping[str, Sequence[float | int | None]], *, log: bool = False, bins: int = BINS
) -> Histogram | None:
    """Count values in bins with round edges.

    Args:
        values: of each series; None and what is not finite are counted as missing.
        log: whether the bins are equally wide on a logarithmic axis; then values must be positive.
        bins: about how many, at least 1.

    Returns:
        The counts; None if no series has a finite value.

    Raises:
        ValueError: if `log` and a value is not positive.
    """
    arrays = {
        name: np.array([math.nan if v is None else v for v in column], dtype=np.float64)
        for name, column in values.items()
    }
    finite = {name: array[np.isfinite(array)] for name, array in arrays.items()}
    together = np.concatenate([np.empty(0), *finite.values()])
    if not len(together):
        return None
    low, high = float(together.min()), float(together.max())
    if log and low <= 0:
        raise ValueError(f"low={low:g} must be positive on a logarithmic axis")
    edges = _log_edges(low, high, bins) if log else _edges(low, high, bins)
    series = {
        name: _series(array, edges, missing=len(arrays[name]) - len(array))
        for name, array in finite.items()
    }
    return Histogram(edges.tolist(), series, log)


def _series(
    values: Float64[np.ndarray, " n"], edges: Float64[np.ndarray, " e"], *, missing: int
) -> Series:
    counts = np.histogram(values, edges)[0].tolist()
    if not len(values):
        return Series(counts, 0, missing, 0.0, 0.0, 0.0)
    low, median, high = (float(v) for v in np.quantile(values, (0, 0.5, 1)))
    return Series(counts, len(values), missing, low, median, high)


def _step(width: float, pieces: int) -> float:
    """The smallest nice step of which at most about `pieces` cover a width."""
    power = 10.0 ** math.floor(math.log10(width / pieces))
    return next(n * power for n in NICE if n * power * pieces >= width * (1 - 1e-9))


def _round(values: Float64[np.ndarray, " n"], step: float) -> Float64[np.ndarray, " n"]:
    """Multiples of a step without the noise of their last digits."""
    return np.round(values, max(0, -math.floor(math.log10(step)))) + 0.0  # No -0.


def _edges(low: float, high: float, bins: int) -> Float64[np.ndarray, " e"]:
    """Multiples of a nice step around all values."""
    size = max(abs(low), abs(high))
    if high - low <= EQUAL * size:  # One value: a bin among some empty ones.
        step = _step(size or 1.0, 10)
        at = math.floor(low / step + EQUAL)
        first, last = (at - 5 if abs(at) >= 5 else min(at, 0)), at + 5
    else:
        step = _step(high - low, bins)
        first, last = math.floor(low / step + EQUAL), math.ceil(high / step - EQUAL)
    edges = _round(np.arange(first, last + 1) * step, step)
    # Rounding must not leave a value outside.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    return edges


def _log_edges(low: float, high: float, bins: int) -> Float64[np.ndarray, " e"]:
    """Powers of ten, and the same number of steps in each, around all values."""
    decades = max(math.log10(high / low), 0.1)
    per_decade = max(1, round(bins / decades))
    first = math.floor(math.log10(low) * per_decade + EQUAL)
    last = max(math.ceil(math.log10(high) * per_decade - EQUAL), first + 1)
    edges = 10.0 ** (np.arange(first, last + 1) / per_decade)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    return edges


def histogram(found: Histogram, *, name: str, title: str, axis: str) -> str:
    """A histogram, its series one below the other over one axis, each with its own scale.

    Args:
        found: what to draw.
        name: unique on the page; letters, digits and "-".
        title: for those who do not see it, plain text.
        axis: what the values are, with their unit, plain text.

    Returns:
        HTML.
    """
    shown = {key: one for key, one in found.series.items() if one.number}
    base = HEAD + PLOT
    parts = [_panel(found, key, one, i, i * base) for i, (key, one) in enumerate(shown.items())]
    bottom = len(shown) * base
    for value in _ticks(found):
        x = 100 * _place(found, value)
        parts.append(
            f'<line class="axis" x1="{x:.3f}%" x2="{x:.3f}%" y1="{bottom}" y2="{bottom + 4}"/>'
            f'<text x="{x:.3f}%" y="{bottom + 18}" text-anchor="middle">{value:,.6g}</text>'
        )
    parts.append(f'<text x="50%" y="{bottom + 38}" text-anchor="middle">{safe(axis)}</text>')
    words = "; ".join(f"{key}: {_in_words(one)}" for key, one in shown.items())
    return _picture(name, title, words, "".join(parts), bottom + 46, "")


def _panel(found: Histogram, key: str, one: Series, color: int, top: int) -> str:
    """The bars of one series, its name, and how many the highest has."""
    most, base = max(one.counts), top + HEAD + PLOT
    unknown = f", {one.missing:,} unknown" if one.missing else ""
    parts = [
        f'<text class="name" x="-{LEFT}" y="{top + 22}">{safe(key)}: {one.number:,}{unknown}</text>'
        f'<text x="100%" y="{top + 22}" text-anchor="end">median {_short(one.median)}</text>',
        f'<line x1="0" x2="100%" y1="{top + HEAD}" y2="{top + HEAD}"/>',
        f'<text x="-8" y="{top + HEAD + 4}" text-anchor="end">{most:,}</text>',
        f'<text x="-8" y="{base}" text-anchor="end">0</text>',
    ]
    for count, low, high in zip(one.counts, found.edges, found.edges[1:], strict=False):
        if count:
            left, right = (100 * _place(found, edge) for edge in (low, high))
            height = max(1.5, PLOT * count / most)
            parts.append(
                f'<rect class="series-{color % COLORS}" x="{left:.3f}%" y="{base - height:.2f}" '
                f'width="{right - left:.3f}%" height="{height:.2f}">'
                f"<title>{low:,.6g} to {high:,.6g}: {count:,}</title></rect>"
            )
    parts.append(f'<line class="axis" x1="0" x2="100%" y1="{base}" y2="{base}"/>')
    return "".join(parts)


def _in_words(one: Series) -> str:
    """The numbers of one series for those who do not see them."""
    return (
        f"{one.number:,} from {_short(one.low)} to {_short(one.high)}, median {_short(one.median)}"
    )


def _short(value: float) -> str:
    """Three digits, or a whole number."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _place(found: Histogram, value: float) -> float:
    """Where a value lies on the axis, 0 ... 1."""
    low, high = found.edges[0], found.edges[-1]
    if found.log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _ticks(found: Histogram, pieces: int = 5) -> list[float]:
    """Round values along the axis."""
    low, high = found.edges[0], found.edges[-1]
    if found.log and high / low >= 10:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        factors = NICE[:3] if len(powers) <= 3 else NICE[:1]
        apart = -(-len(powers) // (pieces + 1))
        values = [n * 10.0**power for power in powers[::apart] for n in factors]
    else:
        step = _step(high - low, pieces)
        marks = np.arange(math.ceil(low / step - EQUAL), math.floor(high / step + EQUAL) + 1)
        values = _round(marks * step, step).tolist()
    slack = EQUAL * (high - low)
    return [value for value in values if low - slack <= value <= high + slack]


def bars(
    rows: Mapping[str, Mapping[str, int]], *, parts: Sequence[str], name: str, title: str
) -> str:
    """Horizontal bars, each made of parts, the numbers written beside the names.

    Args:
        rows: counts of the parts of each bar, by its name.
        parts: names of all parts, in order; those without a count are left out.
        name: unique on the page; letters, digits and "-".
        title: for those who do not see it, plain text.

    Returns:
        HTML with a key of the colors.
    """
    most = max((sum(counts.values()) for counts in rows.values()), default=0) or 1
    drawn = []
    for i, (label, counts) in enumerate(rows.items()):
        drawn.append(_bar(label, [counts.get(part, 0) for part in parts], parts, i * ROW, most))
    key = "".join(
        f'<span><i class="series-{i % COLORS}"></i>{safe(part)}</span>'
        for i, part in enumerate(parts)
    )
    words = "; ".join(
        f"{label}: " + ", ".join(f"{n} {part}" for part, n in counts.items())
        for label, counts in rows.items()
    )
    picture = _picture(name, title, words, "".join(drawn), len(rows) * ROW, " bars")
    return f'<p class="key">{key}</p>{picture}'


def _bar(label: str, counts: Sequence[int], parts: Sequence[str], top: int, most: int) -> str:
    """One row: its name, its numbers, and the bar under them."""
    cut = label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"
    numbers = " + ".join(f"{n:,}" for n in counts)
    drawn = [
        f'<text class="name" x="0" y="{top + 14}">{safe(cut)}<title>{safe(label)}</title></text>',
        f'<text x="100%" y="{top + 14}" text-anchor="end">{numbers}</text>',
        f'<rect class="back" x="0" y="{top + 20}" width="100%" height="9" rx="2"/>',
    ]
    left = 0.0
    for i, (part, count) in enumerate(zip(parts, counts, strict=True)):
        if count:
            width = 100 * count / most
            drawn.append(
                f'<rect class="series-{i % COLORS}" x="{left:.3f}%" y="{top + 19.5}" '
                f'width="{width:.3f}%" height="10" rx="2">'
                f"<title>{safe(part)}: {count:,}</title></rect>"
            )
            left += width
    return "".join(drawn)


def _picture(name: str, title: str, words: str, drawn: str, height: int, kind: str) -> str:
    """The SVG element around a drawing, with a title and a description for those who hear it."""
    return (
        f'<svg class="chart{kind}" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{safe(title)}</title>'
        f'<desc id="{name}-words">{safe(words)}</desc>{drawn}</svg>'
    )

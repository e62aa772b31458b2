"""The pictures of a report: curves over the predicted frames, and film strips.

matplotlib is imported when a picture is drawn, and without its global state.
"""

import io
from collections.abc import Mapping, Sequence
from textwrap import shorten

import numpy as np
import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from soundsight.evaluation.forecasters import REAL, SHUFFLED
from soundsight.evaluation.labels import METRICS, metric, name_label
from soundsight.evaluation.scores import Row, is_control

MODEL_COLORS = (
    "#2f6fde", "#d9541e", "#1a9850", "#9b4dca", "#b8860b", "#0f9aa8", "#d6336c", "#7a5236",
    "#6b8e23", "#8c7ae6", "#e08e0b", "#4a6572",
)  # fmt: skip
"""Of the models, in the order of the table."""
MARKERS = ("o", "s", "^", "D", "v")
"""Of the models as well, one after the other: told apart without color."""
CONTROL_STYLES = {
    "copy_last": ("#8a8f98", (0, (1, 1.2))),
    "mean_image": ("#8a8f98", (0, (5, 2))),
    "blank": ("#8a8f98", (0, (5, 1.5, 1, 1.5))),
}
"""Color and dashes of those that learned nothing: told apart without color."""
INK = {"light": "#30343b", "dark": "#d5d9e0"}
"""Color of axes and letters on a light and on a dark page."""
MANY = 5
"""Models beyond which their lines are thinner."""
GAP = 2
"""Pixels between the frames of a film strip."""


def curves(rows: Sequence[Row], metric_name: str, *, seen: int) -> dict[str, bytes]:
    """A metric over the predicted frames, one line per name with its confidence band.

    Args:
        rows: of one metric and one rule, with frames; differences are left out by the caller.
        metric_name: for the axis.
        seen: number of seen frames, for the axis.

    Returns:
        An SVG file for each theme of the page behind the transparent picture, "light" and "dark";
        equal rows give equal bytes.
    """
    lines: dict[str, list[Row]] = {}
    for row in rows:
        if row.frame is not None and row.name != REAL:  # It would only stretch the axis.
            lines.setdefault(row.name, []).append(row)
    points = {
        name: np.array(sorted((row.frame or 0, *row[4:7]) for row in line))
        for name, line in lines.items()
    }
    shown = metric(metric_name)
    label = f"{shown.label} [{shown.unit}]" if shown.unit else shown.label
    return line_chart(points, f"frame (the first {seen} are seen)", label)


def best_of_curves(rows: Sequence[Row]) -> dict[str, bytes]:
    """Expected SSIM of the best of k futures over k, one line per forecaster of several.

    Args:
        rows: any; those of the metrics "ssim_best_of_<k>" are shown.

    Returns:
        As `curves`; nothing if there are no such rows.
    """
    begin = "ssim_best_of_"
    found = [row for row in rows if row.metric.startswith(begin)]
    points: dict[str, list[tuple[float, ...]]] = {}
    for row in found:
        points.setdefault(row.name, []).append((int(row.metric.removeprefix(begin)), *row[4:7]))
    if not points:
        return {}
    lines = {name: np.array(sorted(line)) for name, line in points.items()}
    return line_chart(lines, "number k of futures", "SSIM, best of k")


def line_chart(
    lines: Mapping[str, Float64[np.ndarray, "n 4"]], across: str, up: str
) -> dict[str, bytes]:
    """Lines with a band each.

    Args:
        lines: by name of a forecaster or control: place across, value, and both ends of its
            interval, a row for each point.
        across: label of the axis, with whole numbers.
        up: label of the other one.

    Returns:
        An SVG file for each theme, as `curves`.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ink = INK["light"]
    models = [name for name in lines if not is_control(name)]
    with matplotlib.rc_context({"svg.hashsalt": "soundsight", "font.size": 10}):
        figure = Figure(figsize=(6.4, 4.3), layout="constrained")
        axes = figure.add_subplot()
        for name, points in lines.items():
            place, value, low, high = points.T
            style = _line_style(name, models)
            label = shorten(name_label(name), 60, placeholder=" …")
            axes.plot(place, value, label=label, **style)
            axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.set_xlabel(across, color=ink)
        axes.set_ylabel(up, color=ink)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(colors=ink)
        axes.grid(color=ink, alpha=0.15, linewidth=0.6)
        for side, spine in axes.spines.items():
            spine.set_visible(side in ("left", "bottom"))
            spine.set_color(ink)
        longest = max(len(name_label(name)) for name in lines)
        columns = 2 if longest < 45 else 1
        figure.set_figheight(3.6 + 0.2 * -(-len(lines) // columns))
        figure.legend(
            loc="outside lower left", ncols=columns, frameon=False, labelcolor=ink, fontsize=9
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return {
        theme: buffer.getvalue().replace(ink.encode(), color.encode())
        for theme, color in INK.items()
    }


def _line_style(name: str, models: Sequence[str]) -> dict:
    """Models are thick and colored, their doubles dashed in the same color, the rest grey."""
    model = name.removesuffix(SHUFFLED)
    if model in models:
        number = models.index(model)
        color, marker = MODEL_COLORS[number % len(MODEL_COLORS)], MARKERS[number % len(MARKERS)]
        if model == name:
            look = {"color": color, "marker": marker, "markersize": 3}
            return {**look, "linewidth": 2.2 if len(models) <= MANY else 1.4, "zorder": 3}
        return {"color": color, "linewidth": 1.6, "linestyle": (0, (3, 1.5)), "zorder": 2}
    color, dashes = CONTROL_STYLES.get(name, ("#8a8f98", "solid"))
    return {"color": color, "linewidth": 1.3, "linestyle": dashes}


def strip_frames(seen: int, frames: int, *, count: int = 12) -> list[int]:
    """Which frames a film strip shows: the last two seen ones, then predicted ones evenly.

    Args:
        seen: number F of seen frames.
        frames: number T of all frames.
        count: how many at most.

    Returns:
        Ascending 0-based indices, the last frame among them.
    """
    before = list(range(max(0, seen - 2), seen))
    places = min(count - len(before), frames - seen)
    return before + np.linspace(seen, frames - 1, places).round().astype(int).tolist()


def film_strip(
    video: Float32[Tensor, "t c h w"], frames: Sequence[int], *, seen: int, scale: int = 1
) -> UInt8[np.ndarray, "i j 4"]:
    """Frames side by side, a wider gap between the seen and the predicted ones.

    Args:
        video: frames in [0, 1], shape (t, c, h, w).
        frames: 0-based indices of those that are shown.
        seen: number of seen frames.
        scale: enlargement, whole number.

    Returns:
        RGBA picture; the gaps are transparent.
    """
    pixels = (video[list(frames)].clamp(0, 1) * 255).round().byte()
    pixels = pixels.repeat_interleave(scale, -1).repeat_interleave(scale, -2)
    pixels = pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
    opaque = torch.full_like(pixels[..., :1], 255)
    tiles = [tile.numpy() for tile in torch.cat([pixels, opaque], dim=-1)]
    parts = []
    for i, (frame, tile) in enumerate(zip(frames, tiles, strict=True)):
        if i:
            wide = frame >= seen > frames[i - 1]
            parts.append(np.zeros((len(tile), GAP * scale * (4 if wide else 1), 4), np.uint8))
        parts.append(tile)
    return np.concatenate(parts, axis=1)


def png(pixels: UInt8[np.ndarray, "i j 4"]) -> bytes:
    """A PNG file of an RGBA picture."""
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, pixels, format="png")
    return buffer.getvalue()


def curve_files(rows: Sequence[Row], *, seen: int) -> Mapping[str, bytes]:
    """All curves of a report: one per metric, rule and theme.

    Args:
        rows: scores; differences and rows without a frame are left out.
        seen: number of seen frames.

    Returns:
        SVG files by name, such as "psnr_mean_dark.svg".
    """
    files = {}
    framed = [row for row in rows if row.frame is not None and " - " not in row.name]
    for key in dict.fromkeys((row.metric, row.rule) for row in framed):
        if key[0] in METRICS:
            these = [row for row in framed if (row.metric, row.rule) == key]
            for theme, picture in curves(these, key[0], seen=seen).items():
                files["_".join((*key, theme)) + ".svg"] = picture
    return files

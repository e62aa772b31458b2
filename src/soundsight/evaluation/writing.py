"""Files of a report: each appears whole or not at all."""

import csv
import io
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from soundsight.evaluation.scores import Row
from soundsight.media.clip import Clip

VIEW_SIDE = 192
"""Least side of a frame in a player, pixels; smaller ones are enlarged by a whole number."""
FORMAT = 1
"""Version of the layout of scores.json."""


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: file to make or replace; its folder is made if missing.
        content: text, written as UTF-8, or bytes.

    Raises:
        OSError: if it cannot be written.
    """
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


def write_scores(
    out: Path,
    title: str,
    protocol: Mapping[str, Any],
    claims: Sequence[Mapping[str, Any]],
    rows: Sequence[Row],
) -> None:
    """Write scores.json and scores.csv.

    Args:
        out: folder of the report.
        title: heading of the page.
        protocol: all that is needed to know what the numbers mean, JSON-able.
        claims: what the evaluation shows, with its evidence, JSON-able.
        rows: tidy scores. A number that is NaN (an interval that makes no sense) is null in JSON
            and empty in CSV.

    Raises:
        ValueError: if a number elsewhere is not finite, or one is infinite.
        OSError: if a file cannot be written.
    """
    known = [Row(*(None if _is_nan(v) else v for v in row)) for row in rows]  # type: ignore[arg-type]
    found = {
        "format": FORMAT,
        "title": title,
        "protocol": protocol,
        "claims": claims,
        "rows": [row._asdict() for row in known],
    }
    text = json.dumps(found, indent=1, allow_nan=False, default=str) + "\n"
    write_file(out / "scores.json", text)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(known)
    write_file(out / "scores.csv", table.getvalue())


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def write_player(clip: Clip, path: Path) -> None:
    """Write a player's file, enlarged so that its pixels are seen.

    Args:
        clip: batch of one.
        path: an .mp4 to make or replace; its folder is made if missing.

    Raises:
        OSError: if it cannot be written.
    """
    from soundsight.media.io import encode

    path.parent.mkdir(parents=True, exist_ok=True)
    encode(clip, path, scale=-(-VIEW_SIDE // clip.spec.size))


def versions() -> dict[str, str]:
    """Versions of what made the numbers."""
    libraries = {name: version(name) for name in ("soundsight", "torch", "numpy", "matplotlib")}
    return {"python": platform.python_version(), **libraries}


def hardware() -> dict[str, str | int]:
    """The machine that this runs on."""
    import torch

    found: dict[str, str | int] = {"machine": platform.machine(), "cores": os.cpu_count() or 1}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found

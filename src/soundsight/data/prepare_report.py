"""The report of a preparation: what was kept, what was dropped and why, and how it looks.

`report.json`: the account of the preparation, the "contents" of the data set, and "histograms";
`report.html`: a page that opens from disk; `report/`: its picture and players. Nothing but the few
clips shown is read; equal data give equal bytes.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from soundsight.data import prepare_page as page
from soundsight.data.prepare_page import Numbers, Tile
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.encode import encode, film_strip, whole_file
from soundsight.page.chart import Histogram, bin_values

FORMAT = 1
"""Version of the layout of report.json."""
FOLDER = "report"
"""Of the picture and the players."""
COLUMNS, ROWS = 8, 6
"""Of the contact sheet, at most."""
PLAYERS = 6
"""Clips to look at and listen to."""
PLAYER_SIDE = 192
"""Least side of a player's picture, pixels; smaller ones are enlarged by a whole number."""
TILE_SIDE = 96
"""About the side of a picture of the contact sheet, pixels."""
DECADES = 100
"""Durations are drawn on a logarithmic axis if the longest is this many times the shortest."""
SPLITS = ("train", "val", "test")
"""Order on the page; other splits come after these."""


@runtime_checkable
class ClipsToReport(Protocol):
    """What a report needs of a prepared data set; `soundsight.data.prepared.Prepared` has it."""

    @property
    def spec(self) -> ClipSpec:
        """Of every clip."""
        ...

    @property
    def codec(self) -> str:
        """How pictures are kept: "mp4" or "raw"."""
        ...

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes, in the order of their numbers."""
        ...

    @property
    def manifest(self) -> Any:
        """Of which `split_rule` is used: "source", "clip" or "published"."""
        ...

    @property
    def splits(self) -> Mapping[str, Sequence[Any]]:
        """Records of the clips of each split: key, source, group, start_s, label, measures."""
        ...

    def read(self, record: Any) -> tuple[UInt8[np.ndarray, "t h w c"], Float32[np.ndarray, " n"]]:
        """Frames in 0 ... 255 and sound in [-1, 1] of one clip."""
        ...


def write_report(data: ClipsToReport, out: Path, summary: Mapping[str, Any]) -> Path:
    """Write the report of a prepared data set into its folder.

    Args:
        data: the data set.
        out: its folder; files of an older report are replaced.
        summary: of the preparation, JSON-able: "command"; "sources" with "total", "used", "bad"
            (rows of "source" and "reason") and "seconds" (of each source); "clips" with "kept" and
            "dropped" (clips by reason); "dropped" (rows of "source", "start_s", "reason" and, where
            known, "measures"); "notes"; "settings".

    Returns:
        Path of the page.

    Raises:
        ValueError: if a clip that is shown is damaged.
        OSError: naming the file, if one cannot be read or written.
    """
    out = Path(out)
    (out / FOLDER).mkdir(parents=True, exist_ok=True)
    splits = {name: data.splits[name] for name in _ordered(data.splits)}
    tiles = _write_sheet(data, splits, out / FOLDER / "sheet.png")
    players = _write_players(data, splits, out / FOLDER)
    found = _histograms(splits, summary)
    numbers = Numbers(
        title=out.resolve().name or "Data set",
        spec=data.spec,
        codec=data.codec,
        split_rule=data.manifest.split_rule,
        splits={name: _split_numbers(records, data.spec) for name, records in splits.items()},
        shared=_shared(splits),
        labels=_label_numbers(data.labels, splits),
    )
    document = {
        **summary,
        "contents": {
            **dataclasses.asdict(numbers),
            "format": FORMAT,
            "sheet": [tile.key for tile in tiles],
            "players": [tile.key for tile in players],
        },
        "histograms": {name: histogram.numbers() for name, histogram in found.items()},
    }
    text = json.dumps(document, indent=1, allow_nan=False, default=str) + "\n"
    _write(out / "report.json", text)
    html = page.render(numbers, summary, found, tiles, players, columns=_columns(len(tiles)))
    _write(out / "report.html", html)
    return out / "report.html"


def _ordered(names: Iterable[str]) -> list[str]:
    """Names of splits in the order of the page."""
    there = list(names)
    return [n for n in SPLITS if n in there] + sorted(n for n in there if n not in SPLITS)


def _split_numbers(records: Sequence[Any], spec: ClipSpec) -> dict[str, Any]:
    """What one split holds."""
    return {
        "clips": len(records),
        "seconds": len(records) * spec.seconds,
        "sources": len({r.source for r in records}),
        "groups": len({r.group for r in records}),
        "labels": len({r.label for r in records if r.label is not None}),
    }


def _shared(splits: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """How many sources and groups have clips in more than one split."""
    counts = {}
    for name, part in (("sources", "source"), ("groups", "group")):
        seen = Counter(
            value for records in splits.values() for value in {getattr(r, part) for r in records}
        )
        counts[name] = sum(n > 1 for n in seen.values())
    return counts


def _label_numbers(
    labels: Sequence[str], splits: Mapping[str, Sequence[Any]]
) -> dict[str, dict[str, int]]:
    """Clips of every label by split; those without a label under "" if there are labels."""
    if not labels:
        return {}
    counts = {name: Counter(r.label or "" for r in records) for name, records in splits.items()}
    names = [*labels, ""] if any(count[""] for count in counts.values()) else list(labels)
    return {name: {split: counts[split][name] for split in splits} for name in names}


def _histograms(
    splits: Mapping[str, Sequence[Any]], summary: Mapping[str, Any]
) -> dict[str, Histogram]:
    """Of the sources' durations, and of what was measured of clips, by name."""
    seconds = summary["sources"]["seconds"]
    positive = [s for s in seconds if s > 0]
    log = len(positive) == len(seconds) > 0 and max(seconds) >= DECADES * min(seconds)
    found = {"seconds": bin_values({"sources": seconds}, log=log)}
    for name in ("rms_db", "motion"):
        values = {
            "kept": [r.measures.get(name) for records in splits.values() for r in records],
            "dropped": [d["measures"].get(name) for d in summary["dropped"] if d.get("measures")],
        }
        found[name] = bin_values({key: column for key, column in values.items() if column})
    return {name: histogram for name, histogram in found.items() if histogram is not None}


def _evenly(number: int, wanted: int) -> list[int]:
    """The middles of equal parts of [0, number), at most as many as wanted."""
    wanted = min(number, wanted)
    return [(2 * i + 1) * number // (2 * wanted) for i in range(wanted)]


def _columns(number: int) -> int:
    return max(1, min(COLUMNS, number))


def _write_sheet(
    data: ClipsToReport, splits: Mapping[str, Sequence[Any]], path: Path
) -> list[Tile]:
    """The contact sheet: the middle frames of clips from everywhere, in order of their sources."""
    clips = [(name, record) for name, records in splits.items() for record in records]
    clips.sort(key=lambda clip: (clip[1].source, clip[1].start_s, clip[1].key))
    chosen = [clips[place] for place in _evenly(len(clips), COLUMNS * ROWS)]
    if not chosen:
        path.unlink(missing_ok=True)
        return []
    shrink, columns = max(1, data.spec.size // TILE_SIDE), _columns(len(chosen))
    pictures = []
    for _, record in chosen:
        frames, _ = data.read(record)
        pictures.append(_shrunk(frames[len(frames) // 2], shrink))
    rows = -(-len(pictures) // columns)
    pictures += [torch.zeros_like(pictures[0])] * (rows * columns - len(pictures))
    spec = dataclasses.replace(data.spec, frames=columns, size=pictures[0].shape[-1])
    sheet = Clip(spec, video=torch.stack(pictures).unflatten(0, (rows, columns)))
    film_strip(sheet, path, scale=max(1, TILE_SIDE // data.spec.size))
    return [page.tile(record, split, f"{FOLDER}/{path.name}") for split, record in chosen]


def _shrunk(frame: UInt8[np.ndarray, "h w c"], times: int) -> Float32[Tensor, "c i j"]:
    """A picture in [0, 1], each pixel the mean of a square of `times` x `times`."""
    picture = torch.from_numpy(frame.copy()).permute(2, 0, 1).float().div_(255)
    side = picture.shape[-1] // times * times
    return torch.nn.functional.avg_pool2d(picture[:, :side, :side], times)


def _choose(splits: Mapping[str, Sequence[Any]]) -> list[tuple[str, Any]]:
    """Split and record of the clips to play: from every split, evenly over its labels."""
    left = {name: len(records) for name, records in splits.items() if records}
    quota = dict.fromkeys(left, 0)
    while sum(quota.values()) < PLAYERS and any(left.values()):
        name = min((n for n in left if left[n]), key=lambda n: quota[n])
        quota[name], left[name] = quota[name] + 1, left[name] - 1
    chosen = []
    for name, number in quota.items():
        order = sorted(splits[name], key=lambda r: (r.label or "", r.source, r.start_s, r.key))
        chosen += [(name, order[place]) for place in _evenly(len(order), number)]
    return chosen


def _write_players(
    data: ClipsToReport, splits: Mapping[str, Sequence[Any]], folder: Path
) -> list[Tile]:
    """A few clips as mp4 with sound; those of an older report go."""
    shown = []
    for i, (split, record) in enumerate(_choose(splits)):
        frames, sound = data.read(record)
        video = torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float().div_(255)
        clip = Clip(data.spec, video=video[None], audio=torch.from_numpy(sound.copy())[None])
        name = f"clip_{i + 1}.mp4"
        encode(clip, folder / name, scale=-(-PLAYER_SIDE // data.spec.size))
        shown.append(page.tile(record, split, f"{FOLDER}/{name}"))
    for i in range(len(shown), PLAYERS):
        (folder / f"clip_{i + 1}.mp4").unlink(missing_ok=True)
    return shown


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with whole_file(path) as part:
        part.write_bytes(text.encode("utf-8"))

"""Measure and print one table: `python -m benchmarks [--only PART...] [--json FILE] [--docs FILE]`.

Run it on an idle machine: two busy torch processes slow each other down many times over.
"""

import argparse
import json
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from benchmarks import joint_gan, loader, m3so, prepare, sound2sight
from soundsight.training.memory import keep_freed_memory

PUBLISHED_M3SO = 22.0
"""Clips/s of 60 frames of the published generator, on the same kind of machine."""


class Line(NamedTuple):
    """One figure beside what it has to be measured against."""

    what: str
    figure: float
    unit: str
    against: str
    ratio: float | None


def against(what: str, figure: float, unit: str, name: str, other: float) -> Line:
    """A figure and how many times another one it is."""
    return Line(what, figure, unit, f"{name}, {other:,.1f}", figure / other)


def m3so_lines(found: dict[str, Any]) -> list[Line]:
    """Lines about the built-in world."""
    clips = found["NB, 60 frames"]["clips_per_s"]
    return [against("M3SO, 60 frames, one core", clips, "clips/s", "published", PUBLISHED_M3SO)]


def sound2sight_lines(s: dict[str, Any]) -> list[Line]:
    """Lines about Sound2Sight."""
    published, peak, table = s["published"], s["convolution_peak_gflop_per_s"], list[Line]()
    for job in ("train B=16 T=20", "train B=8 T=60"):
        t, ours = s[job], s[job]["frames_per_s"]
        table += [
            against(f"{job}, float32", ours, "frames/s", "published", published[job]),
            against(f"{job}, float32", ours, "frames/s", "plain loop", t["loop_frames_per_s"]),
            against(f"{job}, arithmetic", t["gflop_per_s"], "GFLOP/s", "convolution peak", peak),
            against(f"{job}, bfloat16", t["bfloat16_frames_per_s"], "frames/s", "float32", ours),
            against(f"{job}, fixed", t["fixed_frames_per_s"], "frames/s", "paper", ours),
        ]
    for job in ("sample 16x20 T=20", "sample 8x20 T=60", "sample 1x100 T=20"):
        t, ours = s[job], s[job]["clips_per_s"]
        if job in published:
            table.append(against(job, ours, "futures/s", "published", published[job]))
        table += [
            against(job, ours, "futures/s", "one at a time", t["single_clips_per_s"]),
            against(f"{job}, arithmetic", t["gflop_per_s"], "GFLOP/s", "convolution peak", peak),
        ]
    loop = s["loop_rollout_clips_per_s T=20"]
    batched = s["sample 1x100 T=20"]["clips_per_s"]
    table.append(
        Line("sample 1x100 T=20", batched, "futures/s", f"plain loop, {loop:.2f}", batched / loop)
    )
    kept, given_back = s["freed_memory_frames_per_s"].values()
    table.append(
        against("train B=16 T=20, memory kept", kept, "frames/s", "given back", given_back)
    )
    for job, megabytes in s["peak_memory_mb"].items():
        table.append(Line(f"peak memory, {job}", megabytes, "MB", "", None))
    return table


def loader_lines(data: dict[str, Any]) -> list[Line]:
    """Lines about reading clips for training."""
    table, taken = list[Line](), data["training_clips_per_s"]
    for name, by_workers in data["delivered_clips_per_s"].items():
        for workers, figure in by_workers.items():
            what = f"loader, 64 px, {name}, {workers} processes"
            table.append(against(what, figure, "clips/s", "training takes", taken))
    for workers, share in data["waiting_share"].items():
        what = f"training waits for data, {workers} processes"
        table.append(Line(what, 100 * share, "% of the time", "", None))
    return table


def joint_lines(found: dict[str, Any]) -> list[Line]:
    """Lines about the joint GAN."""
    table: list[Line] = []
    for job, t in found.items():
        ours, plain, memory = t["train_clips_per_s"], t["plain_clips_per_s"], t["peak_memory_mb"]
        name = f"joint GAN, {job}"
        table += [
            against(f"{name}, train", ours, "clips/s", "one forward per loss", plain),
            Line(f"{name}, sample", t["sample_clips_per_s"], "clips/s", "", None),
            against(
                f"{name}, peak memory",
                memory["shared"],
                "MB",
                "one forward per loss",
                memory["plain"],
            ),
        ]
    return table


def prepare_lines(found: dict[str, Any]) -> list[Line]:
    """Lines about preparing and reading data sets."""
    table: list[Line] = []
    for name, rates in found["source_frames_per_s"].items():
        for codec in ("mp4", "raw"):
            what = f"prepare, {name}, into {codec}"
            table.append(against(what, rates[codec], "frames/s", "bare decoding", rates["bare"]))
    one, two = found["sources_per_s_by_processes"].values()
    table.append(against("prepare, 720p, 2 processes", two, "sources/s", "1 process", one))
    read = found["clips_read_per_s"]
    for codec in ("mp4", "raw"):
        what = f"read clips at random, {codec}"
        table.append(against(what, read[codec], "clips/s", "decoded from videos", read["videos"]))
    for length, megabytes in found["peak_memory_mb"].items():
        table.append(Line(f"peak memory, prepare {length} of video", megabytes, "MB", "", None))
    return table


class Part(NamedTuple):
    """What is measured together, and has a table of its own."""

    measure: Callable[[int], dict[str, Any]]
    lines: Callable[[dict[str, Any]], list[Line]]


PARTS = {
    "m3so": Part(lambda _: m3so.measure(), m3so_lines),
    "sound2sight": Part(sound2sight.measure, sound2sight_lines),
    "joint_gan": Part(joint_gan.measure, joint_lines),
    "loader": Part(lambda _: loader.measure(), loader_lines),
    "prepare": Part(lambda _: prepare.measure(), prepare_lines),
}
"""By name, in the order of the page; measured one after another."""


def markdown(table: list[Line], about: dict[str, str]) -> str:
    """A part's table for docs/performance.md."""
    text = "| what | figure | against | ratio |\n|---|---:|---|---:|\n"
    for line in table:
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        text += f"| {line.what} | {line.figure:,.1f} {line.unit} | {line.against} | {ratio} |\n"
    return text + "\n" + ", ".join(f"{key} {value}" for key, value in about.items()) + "\n"


def rewritten(page: str, part: str, table: str) -> str:
    """The page with another table between the marks of a part.

    Raises:
        ValueError: if the page has no such marks.
    """
    begin, end = f"<!-- figures: {part} -->\n", f"<!-- end of figures: {part} -->"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no {begin.strip()} ... {end}")
    return f"{before}{begin}{table}{end}{after}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--json", type=Path, help="write the raw figures here; a file's other parts stay"
    )
    parser.add_argument("--docs", type=Path, help="write the tables between the marks of this page")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="measure these parts alone")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    about = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    chosen = options.only or list(PARTS)
    if options.docs:  # Is there a place for each, before minutes of measuring?
        for name in chosen:
            rewritten(options.docs.read_text(), name, "")
    keep_freed_memory()  # As the command line does.
    found: dict[str, Any] = {}
    if options.json and options.json.exists():  # Figures of other parts stay.
        found = json.loads(options.json.read_text())
    found["about"] = about
    shown = Table("what", "figure", "against", "ratio")
    for name in chosen:
        found[name] = PARTS[name].measure(options.repeats)
        table = PARTS[name].lines(found[name])
        for line in table:
            ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
            shown.add_row(line.what, f"{line.figure:,.1f} {line.unit}", line.against, ratio)
        if options.docs:
            page = options.docs.read_text()
            options.docs.write_text(rewritten(page, name, markdown(table, about)))
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()

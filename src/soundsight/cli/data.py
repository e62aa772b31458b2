"""Verbs about data sets: prepare, check."""

import dataclasses
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional

from soundsight.cli.parse import parse, say, value_of

if TYPE_CHECKING:
    from soundsight.data.plan import Plan
    from soundsight.data.prepare import Engine
    from soundsight.media.clip import ClipSpec

PREPARE_USAGE = """\
usage: soundsight prepare SOURCE... OUT [--layout NAME] [--recipe NAME] [--spec.FIELD VALUE ...]

SOURCE is a folder of videos, a video, or a CSV (path,start,end,label,source); with --layout, the
folder or zip of a published data set. OUT is a new folder, or a URL such as s3://bucket/folder.
"""
NO_INFLUENCE = {"--workers": 1, "--timeout-s": 1, "--ray": 0, "--ray-address": 1, "--json": 0}
"""Options that the result does not depend on, with the number of their values."""


@dataclass(frozen=True)
class Check:
    """Is this data set sound? Silent, static, repeated, out of step, leaking, damaged."""

    data: Positional[str]
    """Prepared data set (folder or URL), or a folder of videos."""
    quick: bool = False
    """Trust what was measured when it was prepared, instead of reading every clip."""
    json: bool = False
    """Print the findings as JSON on stdout."""


@dataclass(frozen=True)
class Prepare:
    """Raw videos into a data set: cut, filtered, split, packed; resumable; with a report."""

    places: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="SOURCE... OUT")] = ()
    """What to prepare, and last the new folder."""
    layout: str | None = None
    """SOURCE is a published data set of this name: docs/data/layouts.md."""
    recipe: str | None = None
    """Make clips as this recipe takes them."""
    media: Path | None = None
    """Folder with the files that a CSV names; default: the CSV's own."""
    boxes: Path | None = None
    """CSV of path,x0,y0,x1,y1: what to crop to, in pixels; default: the centre square."""
    workers: int = field(default_factory=lambda: _cores())
    """Processes; 0 does all in this one."""
    timeout_s: float | None = None
    """Give up a source after this many seconds."""
    ray: bool = False
    """Run on a Ray cluster."""
    ray_address: str | None = None
    """Its address; without, one is started on this machine."""
    json: bool = False
    """Print the result as JSON on stdout."""


def prepare_options(arguments: Sequence[str]) -> Any:
    """What `soundsight prepare SOURCE... OUT [...]` asks for.

    Returns:
        A `Prepare` that has `settings`, too.

    Raises:
        ValueError: if an option is unknown or its value of the wrong type, or OUT is missing.
    """
    from soundsight.data.plan import Settings

    settings = Settings(spec=_default_spec(arguments))
    # The settings' names stand without a prefix: --hop-s, --spec.frames, --filters.cut.
    part = ("settings", Annotated[Settings, tyro.conf.arg(name="")], settings)
    options = dataclasses.make_dataclass("Options", [part], bases=(Prepare,), frozen=True)
    chosen = parse(options, arguments, verb="prepare", description=PREPARE_USAGE)
    if len(chosen.places) < 2:
        raise ValueError(
            f"prepare needs a source and OUT: soundsight prepare SOURCE... OUT; got "
            f"{' '.join(chosen.places) or 'nothing'}"
        )
    if chosen.layout is not None and (chosen.boxes is not None or chosen.media is not None):
        raise ValueError("--boxes and --media are for folders and CSVs, not for --layout")
    if chosen.timeout_s is not None and not chosen.timeout_s > 0:
        raise ValueError(f"timeout_s={chosen.timeout_s} must be positive")
    if chosen.timeout_s is not None and (chosen.ray or chosen.workers == 0):
        raise ValueError("--timeout-s needs processes of this machine: not --ray, not --workers 0")
    if chosen.workers < 0:
        raise ValueError(f"workers={chosen.workers} must be at least 0")
    return chosen


def _cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _default_spec(arguments: Sequence[str]) -> "ClipSpec":
    """Clips of the recipe, else of the layout; else 1 s of 64 px at 25 fps and 16 kHz."""
    from soundsight.media.clip import ClipSpec

    recipe, layout = value_of("--recipe", arguments), value_of("--layout", arguments)
    if recipe is not None:
        from soundsight import recipes

        chosen = recipes.load(recipe)
        scored = getattr(chosen.evaluate, "frames", 0)  # Forecasts may be scored on longer clips.
        return chosen.clip.with_frames(max(chosen.clip.frames, scored))
    if layout is not None:
        from soundsight.data import layouts

        return layouts.spec(layout)
    return ClipSpec(frames=25, fps=25, size=64, channels=3, sample_rate=16_000)


def prepare(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight prepare`."""
    chosen = prepare_options(arguments)
    from soundsight.data.plan import Plan
    from soundsight.data.prepare import Engine

    *sources, out = chosen.places
    if chosen.layout is not None:
        from soundsight.data import layouts

        listing = layouts.read(chosen.layout, [Path(place) for place in sources])
    else:
        from soundsight.data.listing import list_sources

        listing = list_sources(sources, media=chosen.media, boxes=chosen.boxes)
    for note in listing.notes:
        say(f"note: {note}")
    engine = Engine(
        workers=chosen.workers,
        ray=chosen.ray or chosen.ray_address is not None,
        address=chosen.ray_address,
        timeout_s=chosen.timeout_s,
    )
    plan = Plan(chosen.settings, listing.sources, listing.notes)
    summary = _prepare(plan, out, engine, _command(arguments))
    clips, bad = summary["clips"], summary["sources"]["bad"]
    for row in bad[:5]:
        say(f"not usable: {row['source']}: {row['reason']}")
    if len(bad) > 5:
        say(f"not usable: {len(bad) - 5} more; all are in the report")
    dropped = ", ".join(f"{count} {word}" for word, count in clips["dropped"].items()) or "none"
    split = ", ".join(f"{count} {name}" for name, count in clips["splits"].items())
    say(f"kept {clips['kept']} clips ({split}); dropped: {dropped}")
    say(f"report: {out.rstrip('/')}/report.html; next: soundsight check {shlex.quote(out)}")
    return {"out": out} | summary


def _command(arguments: Sequence[str]) -> str:
    """The command that a user types for the same data."""
    kept, skip = [], 0
    for word in arguments:
        if skip:
            skip -= 1
            continue
        name = word.split("=", 1)[0].replace("_", "-")
        if name in NO_INFLUENCE:
            skip = 0 if "=" in word else NO_INFLUENCE[name]
            continue
        kept.append(word)
    return shlex.join(["soundsight", "prepare", *kept])


def _prepare(plan: "Plan", out: str, engine: "Engine", command: str) -> dict[str, Any]:
    """Prepare under a bar that tells clips per second and the time left."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from soundsight.data.prepare import prepare as run

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  {task.fields[rate]}  left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        tasks: dict[str, tuple[Any, float, int]] = {}

        def watch(what: str, done: float, of: float, clips: int) -> None:
            if what not in tasks:
                task = bar.add_task(what, total=of, rate="")
                tasks[what] = (task, time.monotonic(), clips)
            task, since, before = tasks[what]
            passed = max(time.monotonic() - since, 1e-3)
            rate = f"{(clips - before) / passed:.0f} clips/s" if passed > 1 else ""
            bar.update(task, completed=done, total=of, rate=rate)

        return run(plan, out, engine=engine, command=command, watch=watch)


def check(arguments: Sequence[str]) -> dict[str, Any]:
    """`soundsight check`."""
    options = parse(Check, arguments, verb="check")
    from rich.console import Console
    from rich.progress import Progress

    from soundsight.data.check import check as run
    from soundsight.data.check import render

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("checking", total=None)
        findings = run(
            options.data,
            quick=options.quick,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    say(render(findings))
    return findings.to_json()

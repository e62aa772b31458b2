"""From raw videos to a prepared data set: read every source, decide, write shards, report.

Every source becomes a part in the folder `.prepare` of the data set, one process a source; then it
is decided which clips stay, and where; then the shards are written from the parts, in order. Each
of these is kept as soon as it is done, so a run that was stopped at any moment goes on from there,
and ends with the same bytes. The manifest is written last: where it stands, all is whole.
"""

import json
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from soundsight.data import shards
from soundsight.data.account import SUMMARY, account, worst
from soundsight.data.decide import Decisions, decide, group_of, split_rule
from soundsight.data.part import (
    Part,
    bytes_name,
    digest_of,
    document_name,
    load_part,
    make_part,
    state_of,
)
from soundsight.data.plan import Plan
from soundsight.data.pool import LostError, Outcome, run_local, run_ray
from soundsight.data.prepare_report import write_report
from soundsight.data.prepared import (
    MANIFEST,
    SPLITS,
    VERSION,
    WORK,
    IndexFile,
    Manifest,
    Prepared,
    Shard,
)
from soundsight.data.source import Dropped, Recording, Source
from soundsight.data.store import Store

PLAN, DECISIONS, LOCK = "plan.json", "decisions.json", "lock"
ALBUM_CLIP_BYTES = 50_000
"""What a clip that others have cut counts in the progress bar, where files count by their size."""

Watch = Callable[[str, float, float, int], None]
"""Told of progress: (what is done, done, of how much, clips so far)."""


@dataclass(frozen=True)
class Engine:
    """Who does the work; of no influence on the result."""

    workers: int = 0
    """Processes of this machine, each of which a crash may end; 0: this one does it all. A script
    that asks for processes needs `if __name__ == "__main__":`, since they import it."""
    ray: bool = False
    """Whether a Ray cluster does it instead."""
    address: str | None = None
    """Of the cluster; None: one is started on this machine."""
    timeout_s: float | None = None
    """A source that takes longer is given up."""


def prepare(
    plan: Plan,
    out: str,
    *,
    engine: Engine | None = None,
    command: str = "",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Prepare a data set, or go on with one that was begun.

    Args:
        plan: sources and settings.
        out: folder of the data set, or a URL that fsspec knows; empty, absent, or begun by the
            same plan.
        engine: who does the work; default: this process.
        command: how a user asks for the same, for the report.
        watch: told of progress.

    Returns:
        What was kept, what was dropped, and why: `OUT/report.json` without its histograms.

    Raises:
        ValueError: if there are no sources, `out` holds something else or was begun by another
            plan, or nothing can be used.
        OSError: naming the file, if something cannot be written; what is done is kept.
    """
    if not plan.sources:
        raise ValueError("there is nothing to prepare: no sources")
    split_rule(plan.sources, plan.settings)
    if out.startswith("memory://") and engine is not None and engine.workers:
        raise ValueError(f"{out}: other processes do not see this memory; use workers=0")
    store = Store(out)
    if store.is_local and store.folder.exists() and not store.folder.is_dir():
        raise ValueError(f"{out}: is a file; the last argument has to be a new folder")
    if store.exists(MANIFEST):
        _same(_json(store, MANIFEST), plan.identity(), out, "was prepared")
        _remove(store.within(WORK))
        found = _json(store, "report.json")
        return {key: found.get(key) for key in SUMMARY}
    work = store.within(WORK)
    _begin(plan, store, work)
    with _locked(work, out):
        store.sweep()
        job = _Job(plan, store, work, engine or Engine(), watch or (lambda *_: None))
        decisions, splits = job.done()
        parts = [job.part(number) for number in range(len(plan.sources))]
        summary = account(plan, parts, decisions, command)
        if any(splits.values()):
            job.finish(decisions, splits, summary)
    if not any(splits.values()):
        job.clear()
        raise ValueError(f"{out}: no clip could be used: {worst(summary)}")
    _remove(work)
    return summary


def _json(store: Store, name: str) -> dict[str, Any]:
    """A file that holds a JSON object.

    Raises:
        ValueError: naming the file, if it is missing or damaged.
    """
    try:
        values = json.loads(store.read(name))
    except (OSError, ValueError) as error:
        raise ValueError(f"{store.path(name)}: missing or damaged: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{store.path(name)}: damaged: no JSON object")
    return values


def _remove(work: Store) -> None:
    """Remove unfinished work; its plan last, so that what is left of it is never another's."""
    for name in work.names():
        if name not in (PLAN, LOCK):
            work.delete(name)
    work.delete_all()


def _begin(plan: Plan, store: Store, work: Store) -> None:
    """See that the folder is free or ours, and note the plan there."""
    if work.exists(PLAN):
        _same(_json(work, PLAN), plan.identity(), store.place, "was begun")
        return
    others = [name for name in store.names() if name != WORK]
    if others:
        raise ValueError(
            f"{store.place}: holds {others[0]!r} and is no prepared data set; give a new or an "
            f"empty folder"
        )
    work.write(PLAN, json.dumps(plan.identity(), indent=1).encode())


def _same(found: Mapping[str, Any], asked: Mapping[str, Any], out: str, verb: str) -> None:
    """Raise a ValueError unless a folder's plan is the one asked for."""
    had, want = _flat(found.get("settings", {})), _flat(asked["settings"])
    differing = [
        f"{name}={had.get(name)!r} not {want.get(name)!r}"
        for name in sorted(had.keys() | want.keys())
        if had.get(name) != want.get(name)
    ]
    if found.get("sources") != asked["sources"]:
        counts = [plan.get("sources", {}).get("count") for plan in (found, asked)]
        differing.append(f"other sources ({counts[0]} not {counts[1]})")
    if differing:
        raise ValueError(
            f"{out}: {verb} otherwise: {', '.join(differing)}; give another folder, the same "
            f"settings, or remove it"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


@contextmanager
def _locked(work: Store, out: str) -> Iterator[None]:
    """Keep a second process from preparing the same data set on this machine."""
    try:
        import fcntl
    except ImportError:  # Not on every system.
        yield
        return
    if not work.is_local:
        yield
        return
    with (work.folder / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{out}: is being prepared by another process") from None
        yield


class _DamagedPartError(Exception):
    """The bytes of a part are not what its document tells, or gone before their shard was."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Job:
    """One preparation, step by step."""

    def __init__(self, plan: Plan, out: Store, work: Store, engine: Engine, watch: Watch) -> None:
        self.plan, self.out, self.work = plan, out, work
        self.engine, self.watch = engine, watch

    def done(self) -> tuple[Decisions, dict[str, list[Shard]]]:
        """Read, decide and write; a part that was damaged by a loss of power is read again."""
        while True:
            decisions = self.decisions()
            try:
                return decisions, self.write(decisions)
            except _DamagedPartError as damaged:
                self._forget(damaged.number)

    def decisions(self) -> Decisions:
        """Which clips stay, and where; all sources are read for it, unless that was done."""
        if self.work.exists(DECISIONS):
            return _decisions_from(json.loads(self.work.read(DECISIONS)))
        self._read_sources()
        parts = [self.part(number) for number in range(len(self.plan.sources))]
        decisions = decide(parts, self.plan.sources, self.plan.settings)
        self.work.write(DECISIONS, json.dumps(asdict(decisions)).encode())
        return decisions

    def part(self, number: int) -> Part:
        """The part of a source; its clips' bytes may be gone already."""
        return Part.from_bytes(self.work.read(document_name(number)))

    def _read_sources(self) -> None:
        """Make every part that is not there yet."""
        sources, settings, place = self.plan.sources, self.plan.settings, self.work.place
        sizes = [_size(source) for source in sources]
        todo, done, clips = [], 0.0, 0
        for number, source in enumerate(sources):
            part = load_part(self.work, number, source)
            if part is None:
                todo.append(number)
            else:
                done, clips = done + sizes[number], clips + len(part.clips)
        tasks = [(number, sources[number], settings, place) for number in todo]
        self.watch("reading", done, sum(sizes), clips)
        with closing(self._run(tasks)) as ended:
            for index, outcome in ended:
                number = todo[index]
                if isinstance(outcome, LostError):
                    self._give_up(number, str(outcome))
                elif outcome is not None:
                    raise outcome
                done, clips = done + sizes[number], clips + len(self.part(number).clips)
                self.watch("reading", done, sum(sizes), clips)

    def _run(self, tasks: Sequence[tuple[Any, ...]]) -> Generator[tuple[int, Outcome], None, None]:
        if self.engine.ray:
            return run_ray(make_part, tasks, address=self.engine.address)
        workers = min(self.engine.workers, max(1, len(tasks))) if self.engine.workers else 0
        return run_local(make_part, tasks, workers=workers, timeout_s=self.engine.timeout_s)

    def _give_up(self, number: int, reason: str) -> None:
        """Note that a source's process did not come back."""
        source = self.plan.sources[number]
        part = Part(source.id, state_of(source), 0.0, 0.0, 0.0, 0, [], [], reason)
        self.work.write(bytes_name(number), b"", sync=False)
        self.work.write(document_name(number), part.to_bytes(), sync=False)

    def write(self, decisions: Decisions) -> dict[str, list[Shard]]:
        """Write the shards that are not there yet, and the index; parts go as they are used up."""
        last = {n: (s, i) for s in decisions.splits for i, (n, _) in enumerate(decisions.splits[s])}
        total, done = sum(map(len, decisions.splits.values())), 0
        splits: dict[str, list[Shard]] = {}
        for split, places in decisions.splits.items():
            used = 0
            while True:
                whole = shards.finished(self.out, self.work, split)
                written = sum(f.shard.clips for f in whole)
                self.watch("writing", float(done + written), float(total), done + written)
                for number in {n for n, _ in places[used:written]}:
                    if last[number][0] == split and last[number][1] < written:
                        self.work.delete(bytes_name(number))
                used = written
                if written == len(places):
                    break
                self._write_shard(split, len(whole), places[written:])
            done += written
            splits[split] = [f.shard for f in whole]
            self.out.write(f"{split}.jsonl", b"".join(line for f in whole for line in f.lines))
        return splits

    def _write_shard(self, split: str, number: int, places: Sequence[tuple[int, int]]) -> None:
        settings = self.plan.settings
        size = round(settings.shard_mb * 1e6)
        clips = self._stored(places)
        shards.write_shard(clips, self.out, self.work, split, number, settings.codec, size)

    def _stored(self, places: Sequence[tuple[int, int]]) -> Iterator[shards.Stored]:
        """Clips as they are written, in order; bytes are read from the parts one by one."""
        part, held = None, -1
        for number, index in places:
            if part is None or number != held:
                part, held = self.part(number), number
            clip = part.clips[index]
            start, end = clip.video.offset, sum(clip.sound)
            try:
                data = self.work.read(bytes_name(number), start, end - start)
            except FileNotFoundError:
                data = b""
            if digest_of(data) != clip.digest:
                raise _DamagedPartError(number)
            source = self.plan.sources[number]
            yield shards.final(part, clip, data, source, group_of(source), self.plan.settings)

    def _forget(self, number: int) -> None:
        """Have a source read again, and all shards written again."""
        for name in self.work.names():
            if name in (DECISIONS, document_name(number)) or name.endswith(".tar.jsonl"):
                self.work.delete(name)

    def clear(self) -> None:
        """Leave nothing of an attempt that came to nothing."""
        for split in SPLITS:
            self.out.delete(f"{split}.jsonl")
        _remove(self.work)

    def finish(
        self, decisions: Decisions, splits: dict[str, list[Shard]], summary: dict[str, Any]
    ) -> None:
        """Write the report, and last of all the manifest."""
        settings, sources = self.plan.settings, self.plan.sources
        labels = {s.label for s in sources if s.label is not None}
        manifest = Manifest(
            version=VERSION,
            spec=settings.spec,
            codec=settings.codec,
            labels=sorted(labels),
            split_rule=decisions.rule,
            splits=splits,
            index={split: IndexFile.of(self.out, split) for split in splits},
            settings=settings.to_json(),
            sources=self.plan.identity()["sources"],
        )
        prepared = Prepared(self.out, manifest)
        if self.out.is_local:
            write_report(prepared, self.out.folder, summary)
        else:
            with tempfile.TemporaryDirectory(prefix="soundsight-") as scratch:
                folder = Path(scratch) / self.out.name
                write_report(prepared, folder, summary)
                self.out.upload(folder)
        self.out.write(MANIFEST, manifest.to_bytes())


def _size(source: Source) -> float:
    """How much of the progress bar a source is: its bytes, at least a clip's."""
    if not isinstance(source, Recording):
        return float(max(1, len(source.moments)) * ALBUM_CLIP_BYTES)
    try:
        return float(max(ALBUM_CLIP_BYTES, Path(source.path).stat().st_size))
    except (OSError, ValueError):
        return float(ALBUM_CLIP_BYTES)


def _decisions_from(values: dict[str, Any]) -> Decisions:
    """What `asdict` made of decisions, out of JSON."""
    return Decisions(
        rule=values["rule"],
        splits={s: [(n, i) for n, i in places] for s, places in values["splits"].items()},
        dropped=[(n, Dropped(*clip)) for n, clip in values["dropped"]],
        notes=values["notes"],
    )

"""Is a data set sound? What is broken, useless, repeated, leaking between splits, or out of step.

A prepared data set is read as a whole: checksums, every clip's measures made anew, duplicates,
splits, labels, and the lag between picture and sound. A folder of videos that is not prepared yet
is looked at in windows of two seconds at a small size.

An **error** makes results wrong or reading fail: damage, the same moment in two splits, sound that
is out of step, a flaw of a tenth of all clips or more (of half of them, before preparation). A
**warning** is to be looked at; a **note** is to be known. A positive lag means that the sound is
late.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from soundsight.data.fingerprint import near_duplicates, words
from soundsight.data.leaks import leaks
from soundsight.data.listing import media_files
from soundsight.data.measure import Filters, Measures, measure, reason_to_drop
from soundsight.data.prepared import (
    ClipRecord,
    Prepared,
    is_prepared,
    is_unfinished,
    open_prepared,
)
from soundsight.data.source import Recording
from soundsight.data.store import Store
from soundsight.data.sync import LagReport, Traces, lag, traces
from soundsight.data.windows import windows
from soundsight.media.clip import ClipSpec
from soundsight.media.io import MediaError

RAW = ClipSpec(frames=50, fps=25, size=64, channels=3, sample_rate=16000)
"""How videos that are not prepared yet are looked at: windows of 2 s."""
MANY, MANY_RAW = 0.1, 0.5
"""A flaw of this share of the clips, or more, is an error; in videos that are not prepared yet, the
second: preparing drops such clips."""
MOST_TRACED = 2000
"""Clips whose motion is compared with their sound, evenly over the data set."""
QUICK_READ = 200
"""Clips that a quick check reads, evenly over the data set."""
IMBALANCE = 10.0
"""A class with this many times the clips of another one is worth a warning."""
MOST_LISTED = 20
"""Findings of one kind that are listed one by one."""

Severity = Literal["error", "warning", "note"]
Progress = Callable[[int, int], object]
"""Is told how many clips (or files) of how many are done."""


class Finding(NamedTuple):
    """One thing that was found."""

    severity: Severity
    kind: str
    """damage, unreadable, short, silent, static, cut, clipped, duplicate, leak, offset, labels,
    split."""
    where: str
    """A clip, a file, a split; "" for the whole data set."""
    what: str
    """One line."""


@dataclass(frozen=True)
class Findings:
    """All that was found."""

    data: str
    """The data set's path."""
    clips: dict[str, int]
    """Clips of each split; of a folder of videos, windows, under ""."""
    looked_at: int
    """Clips that were read."""
    found: list[Finding] = field(default_factory=list)
    """Errors first."""
    lag: LagReport | None = None
    """How late the sound is; None if nothing could be compared."""

    @property
    def is_sound(self) -> bool:
        """Whether there is no error."""
        return all(finding.severity != "error" for finding in self.found)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "data": self.data,
            "is_sound": self.is_sound,
            "clips": self.clips,
            "looked_at": self.looked_at,
            "findings": [finding._asdict() for finding in self.found],
            "lag": None if self.lag is None else self.lag.to_json(),
        }


class _Looked(NamedTuple):
    """A clip that was looked at."""

    name: str
    source: str
    split: str
    measures: Measures


@dataclass
class _State:
    """What was seen so far."""

    found: list[Finding] = field(default_factory=list)
    looked: list[_Looked] = field(default_factory=list)
    traced: list[Traces] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    read: int = 0

    def add(self, severity: Severity, kind: str, where: str, what: str) -> None:
        self.found.append(Finding(severity, kind, where, what))


def check(
    path: str | Path,
    *,
    quick: bool = False,
    limit: int | None = None,
    filters: Filters | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Findings:
    """Look for what is wrong with a data set.

    Args:
        path: a prepared data set (folder or URL), a folder of videos, or one video.
        quick: believe the measures stored with a prepared data set, read 200 clips only, and leave
            the shards' checksums; of videos, look at the first 10 windows of each.
        limit: look at no more clips than this, evenly over the data set; None: at all.
        filters: what counts as silent, static, cut and clipped; None: the defaults.
        progress: is told how far it is.
        seed: of what is drawn for the comparison of sound and motion.

    Returns:
        What was found.

    Raises:
        ValueError: if there is nothing to check, its preparation is unfinished, `limit` is not
            positive, or the check itself fails, which tells nothing of the data.
        OSError: if a folder cannot be read.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit={limit} must be at least 1 clip, or None for all")
    rules = Filters() if filters is None else filters
    tell = progress if progress is not None else (lambda done, of: None)
    try:
        return _check(path, quick, limit, rules, tell, seed)
    except (ValueError, OSError):
        raise
    except Exception as error:  # Not to be taken for a finding.
        told = f"{type(error).__name__}: {error}"
        raise ValueError(
            f"{path}: the check failed, nothing is known of the data: {told}"
        ) from error


def _check(
    path: str | Path,
    quick: bool,
    limit: int | None,
    rules: Filters,
    tell: Progress,
    seed: int,
) -> Findings:
    """As `check`."""
    state, place = _State(), str(path)
    if is_prepared(place):
        spec, clips = _check_prepared(place, state, quick, limit, tell)
    elif is_unfinished(place) or not Store(place).is_local:
        open_prepared(place)  # Says why it cannot be opened.
        raise ValueError(f"{place}: changed while it was looked at; try again")
    else:
        spec, clips = RAW, _check_videos(Path(path).expanduser(), state, quick, limit, tell)
    _check_measures(state, rules)
    _check_duplicates(state)
    report = lag(state.traced, state.owners, spec.fps, seed=seed) if state.traced else None
    _check_lag(state, report)
    order = {"error": 0, "warning": 1, "note": 2}
    found = sorted(_shortened(state.found), key=lambda f: (order[f.severity], f.kind))
    return Findings(str(path), clips, state.read, found, report)


def render(findings: Findings) -> str:
    """What was found, as a text for people: a verdict, then a line for each finding."""
    count = Counter(finding.severity for finding in findings.found)
    told = ", ".join(
        f"{count[severity]} {severity}{'' if count[severity] == 1 else 's'}"
        for severity in ("error", "warning", "note")
    )
    splits = ", ".join(f"{n} {name}".strip() for name, n in findings.clips.items())
    lines = [
        f"{findings.data}: {'sound' if findings.is_sound else 'NOT SOUND'} ({told})",
        f"clips: {splits or 'none'}; {findings.looked_at} read",
    ]
    wide = max((len(finding.kind) for finding in findings.found), default=0)
    for severity, kind, where, what in findings.found:
        place = f"{where}: " if where else ""
        lines.append(f"{severity:<7}  {kind:<{wide}}  {place}{what}")
    return "\n".join(lines)


# Prepared data sets.


def _check_prepared(
    place: str, state: _State, quick: bool, limit: int | None, tell: Progress
) -> tuple[ClipSpec, dict[str, int]]:
    """Read a prepared data set; its spec, and how many clips its splits have."""
    try:
        data = open_prepared(place)
    except (ValueError, OSError) as error:
        state.add("error", "damage", "", str(error))
        return RAW, {}
    broken: set[str] = set()
    for name, what in data.damage(shards=not quick):
        state.add("error", "damage", name, what)
        broken.add(name)
    splits = {
        split: data.index(split) for split in data.manifest.splits if _is_readable(data, split)
    }
    records = [(split, record) for split, part in splits.items() for record in part]
    for split, part in splits.items():
        if not part:
            state.add("note" if split == "val" else "warning", "split", split, "has no clips")
    for severity, where, what in leaks(splits, data.manifest.split_rule, data.spec.seconds):
        state.add(severity, "leak", where, what)
    _check_labels(splits, data.labels, state)
    _check_copies(records, state)
    most = min(limit or len(records), QUICK_READ if quick else len(records))
    fresh = _read(data, records, _evenly(len(records), most), broken, state, tell)
    for i, (split, record) in enumerate(records):
        told = Measures(**record.measures) if quick and i not in fresh else fresh.get(i)
        if told is not None:
            name = _name(split, record)
            state.looked.append(_Looked(name, record.source, split, told))
    return data.spec, {split: len(part) for split, part in splits.items()}


def _is_readable(data: Prepared, split: str) -> bool:
    """Whether an index makes sense, its checksum aside."""
    try:
        data.index(split)
    except (ValueError, OSError):
        return False
    return True


def _name(split: str, record: ClipRecord) -> str:
    return f"{split}/{record.key} ({record.source} at {record.start_s:g} s)"


def _evenly(count: int, most: int) -> list[int]:
    """At most that many of the numbers below `count`, evenly over them."""
    return list(range(count)) if count <= most else [i * count // most for i in range(most)]


def _read(
    data: Prepared,
    records: Sequence[tuple[str, ClipRecord]],
    chosen: Sequence[int],
    broken: set[str],
    state: _State,
    tell: Progress,
) -> dict[int, Measures]:
    """Read and measure some clips; those known to be damaged are passed over."""
    traced = {chosen[j] for j in _evenly(len(chosen), MOST_TRACED)}
    fresh: dict[int, Measures] = {}
    for done, i in enumerate(chosen):
        tell(done, len(chosen))
        split, record = records[i]
        if record.key in broken:
            continue
        try:
            frames, sound = data.read(record)
        except OSError as error:
            if record.shard not in broken:
                state.add("error", "unreadable", record.shard, str(error))
            broken.add(record.shard)
            continue
        except ValueError as error:
            state.add("error", "unreadable", _name(split, record), str(error))
            continue
        state.read += 1
        fresh[i] = _as_still(measure(frames, sound, data.spec), record)
        if i in traced and len(frames) > 1:
            state.traced.append(traces(frames, sound, data.spec))
            state.owners.append(record.source)
    tell(len(chosen), len(chosen))
    return fresh


def _as_still(measures: Measures, record: ClipRecord) -> Measures:
    """The measures with the motion from before encoding, if less: mp4 lets stills move a little."""
    before, now = record.measures.get("motion"), measures.motion
    if before is None or now is None:
        return measures
    return replace(measures, motion=min(before, now))


def _check_labels(
    splits: Mapping[str, Sequence[ClipRecord]], labels: Sequence[str], state: _State
) -> None:
    """Classes that are missing in a split, rare, or not given."""
    if not labels:
        return
    for split, records in splits.items():
        count = Counter(record.label for record in records)
        unlabelled = count.pop(None, 0)
        if unlabelled:
            have = "clip has" if unlabelled == 1 else "clips have"
            state.add("warning", "labels", split, f"{unlabelled} {have} no label")
        if not count:
            continue
        missing = [name for name in labels if not count[name]]
        if missing:
            some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            have = "class has" if len(labels) == 1 else "classes have"
            state.add("warning", "labels", split, f"{len(missing)} of {len(labels)} {have} "
                      f"no clip: {some}")  # fmt: skip
        (most, n), (least, m) = count.most_common()[0], count.most_common()[-1]
        if n > IMBALANCE * m:
            state.add("warning", "labels", split, f"{n} clips of {most}, {m} of {least}: "
                      f"{n / m:.0f} to 1")  # fmt: skip


def _check_copies(records: Sequence[tuple[str, ClipRecord]], state: _State) -> None:
    """Clips whose bytes are the same, silent ones too."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, (_, record) in enumerate(records):
        same[record.sha256].append(i)
    for group in same.values():
        if len(group) > 1:
            names = [_name(*records[i]) for i in group]
            _add_repeated(state, names, [records[i][0] for i in group], "the same as")


# Videos that are not prepared yet.


def _check_videos(
    place: Path, state: _State, quick: bool, limit: int | None, tell: Progress
) -> dict[str, int]:
    """Look at windows of every video; how many there were."""
    if place.is_dir():
        files = sorted(media_files(place))
    elif place.is_file():
        files = [place]
    else:
        raise ValueError(f"{place}: no such file or folder; give a data set or videos")
    if not files:
        raise ValueError(f"{place}: holds neither a prepared data set nor a video")
    chosen = [files[i] for i in _evenly(len(files), limit or len(files))]
    most = math.inf if limit is None else max(1, limit // len(chosen))
    most = min(most, 10) if quick else most
    to_trace = max(10, MOST_TRACED // len(chosen))
    for done, path in enumerate(chosen):
        tell(done, len(chosen))
        name = path.relative_to(place).as_posix() if place.is_dir() else path.name
        number = 0
        try:
            for number, clip in enumerate(windows(Recording(name, str(path)), RAW), 1):
                where = f"{name} at {clip.start_s:g} s"
                measures = measure(clip.frames, clip.sound, RAW)
                state.looked.append(_Looked(where, name, "", measures))
                if number <= to_trace:
                    state.traced.append(traces(clip.frames, clip.sound, RAW))
                    state.owners.append(name)
                if number >= most:
                    break
        except (MediaError, OSError) as error:
            state.add("error", "unreadable", name, str(error).removeprefix(f"{path}: "))
        else:
            if not number:
                state.add("warning", "short", name, f"shorter than {RAW.seconds:g} s")
    tell(len(chosen), len(chosen))
    state.read = len(state.looked)
    return {"": len(state.looked)}


# Both.


def _check_measures(state: _State, filters: Filters) -> None:
    """Clips that are silent, still, cut or overdriven."""
    flawed: dict[str, list[Finding]] = defaultdict(list)
    for clip in state.looked:
        reason = reason_to_drop(clip.measures, filters)
        if reason is not None:
            kind, what = reason.split(": ", 1)
            flawed[kind].append(Finding("warning", kind, clip.name, what))
    for kind, found in flawed.items():
        share = len(found) / len(state.looked)
        if share >= (MANY if state.looked[0].split else MANY_RAW):
            noun = "clip" if len(state.looked) == 1 else "clips"
            what = f"{len(found)} of {len(state.looked)} {noun} ({share:.0%})"
            state.add("error", kind, "", what)
        state.found.extend(found)


def _check_duplicates(state: _State) -> None:
    """Clips of different sources that are nearly the same in picture and sound."""
    if not state.looked:
        return
    numbers = {source: i for i, source in enumerate(sorted({c.source for c in state.looked}))}
    groups = near_duplicates(
        words([clip.measures.picture_hash for clip in state.looked]),
        words([clip.measures.sound_hash for clip in state.looked]),
        np.array([numbers[clip.source] for clip in state.looked], dtype=np.int64),
    )
    told = {finding.where for finding in state.found if finding.kind == "duplicate"}
    for group in groups:
        clips = [state.looked[i] for i in group]
        if not all(clip.name in told for clip in clips[1:]):
            names = [clip.name for clip in clips]
            _add_repeated(state, names, [clip.split for clip in clips], "nearly the same as")


def _add_repeated(
    state: _State, names: Sequence[str], splits: Sequence[str], relation: str
) -> None:
    """One finding for each clip that repeats the first one of its group."""
    across = len(set(splits)) > 1
    for name in names[1:]:
        what = f"{relation} {names[0]}"
        if across:
            state.add("error", "duplicate", name, f"{what}: in two splits")
        else:
            state.add("warning", "duplicate", name, what)


def _check_lag(state: _State, report: LagReport | None) -> None:
    """Sound that is out of step, in all and in single recordings."""
    if report is None:
        return
    wrong = report.verdict in ("sound late", "sound early")
    state.add("error" if wrong else "note", "offset", "", str(report))
    for source, own in report.sources.items():
        if own.verdict in ("sound late", "sound early") and len(report.sources) > 1:
            state.add("error", "offset", source, str(own))


def _shortened(found: Iterable[Finding]) -> Iterator[Finding]:
    """The findings, of each kind and severity the first ones and how many more there are."""
    seen: Counter[tuple[Severity, str]] = Counter()
    for finding in found:
        seen[finding.severity, finding.kind] += 1
        if seen[finding.severity, finding.kind] <= MOST_LISTED:
            yield finding
    for (severity, kind), number in seen.items():
        if number > MOST_LISTED:
            yield Finding(severity, kind, "", f"and {number - MOST_LISTED} more")

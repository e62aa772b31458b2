"""Which clips stay, and in which split: decided once all sources have been read.

Splits by source: a group of sources (a speaker, a player; mostly one source) has a number in
[0, 1) made from its name alone. The lowest are test, those above them val, the rest train, so that
a group stays where it is whatever else is added. Where a class (or a set without classes) has at
least three groups but none in a wanted split, the group nearest to that split is moved there. With
one or two groups the duration of each source is cut instead, if it is long enough: its beginning is
train, what follows val, its end test, with a gap between them; clips in a gap are dropped. Classes
with one or two groups of short sources are split together, as if they were one class.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundsight.data.fingerprint import near_duplicates, words
from soundsight.data.part import Part, PartClip
from soundsight.data.plan import Settings, digest
from soundsight.data.prepared import SPLITS
from soundsight.data.source import Dropped, Source

GAP_S = 5.0
"""Between the splits of a source that is cut in time, seconds, or `GAP_SHARE` of it if less.
Source: W. Kurmi et al. (ICASSP 2021): where a class has a single video."""
GAP_SHARE = 0.05


@dataclass
class Decisions:
    """What stays where."""

    rule: str
    """"source", "clip" or "published"."""
    splits: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    """Clips of each split, in order, as (number of the source, index in its part)."""
    dropped: list[tuple[int, Dropped]] = field(default_factory=list)
    """Clips that were read and are not used, with the number of their source."""
    notes: list[str] = field(default_factory=list)
    """What a user should know."""


def decide(parts: Sequence[Part], sources: Sequence[Source], settings: Settings) -> Decisions:
    """Choose clips and splits.

    Args:
        parts: what became of each source.
        sources: in the same order.
        settings: rule, fractions and filters.

    Raises:
        ValueError: if published splits are asked for and a source has none.
    """
    rule = split_rule(sources, settings)
    decisions = Decisions(rule, {split: [] for split in SPLITS})
    repeated = _duplicates(parts) if settings.filters.duplicates else {}
    place = _placer(rule, parts, sources, settings, decisions.notes)
    for number, part in enumerate(parts):
        for index, clip in enumerate(part.clips):
            first = repeated.get((number, index))
            reason = split = None
            if first is not None:
                reason = f"duplicate: of {first[0]} at {first[1]:g} s, in picture and sound"
            else:
                split = place(number, clip)
                if split is None:
                    reason = "gap: lies between two splits of a source cut in time"
            if reason is not None:
                decisions.dropped.append((number, Dropped(clip.name, clip.start_s, reason)))
            elif split is not None:
                decisions.splits[split].append((number, index))
    for split, fraction in zip(("val", "test"), settings.fractions, strict=True):
        if fraction > 0 and not decisions.splits[split]:
            decisions.notes.append(f"split {split} is empty")
    return decisions


def split_rule(sources: Sequence[Source], settings: Settings) -> str:
    """The rule that is meant: "source", "clip" or "published".

    Raises:
        ValueError: if published splits are asked for, or some sources have one, and others do not.
    """
    without = [source.id for source in sources if source.split is None]
    if settings.split == "auto" and 0 < len(without) < len(sources):
        raise ValueError(
            f"split='auto': {len(without)} of {len(sources)} sources have no published split, "
            f"{without[0]!r} first; fill it in, or choose split 'source' for all of them"
        )
    if settings.split == "auto":
        return "source" if without or not sources else "published"
    if settings.split == "published" and without:
        raise ValueError(
            f"split='published': {len(without)} of {len(sources)} sources have no published split, "
            f"{without[0]!r} first; choose 'source' or 'clip', or give a CSV with a split column"
        )
    return settings.split


class _Placer:
    """The split of a clip; None if it lies in a gap."""

    def __init__(
        self,
        by_source: Mapping[int, str],
        in_time: Mapping[int, Sequence[tuple[str, float, float]]],
        seconds: float,
    ) -> None:
        self.by_source = by_source
        self.in_time = in_time
        self.seconds = seconds

    def __call__(self, number: int, clip: PartClip) -> str | None:
        if number in self.by_source:
            return self.by_source[number]
        for split, start_s, end_s in self.in_time[number]:
            if start_s - 1e-6 <= clip.start_s and clip.start_s + self.seconds <= end_s + 1e-6:
                return split
        return None


class _ClipPlacer:
    """The split of each clip by itself."""

    def __init__(self, sources: Sequence[Source], fractions: tuple[float, float]) -> None:
        self.sources = sources
        self.fractions = fractions

    def __call__(self, number: int, clip: PartClip) -> str:
        return _by_number(_number(f"{self.sources[number].id}\n{clip.name}"), self.fractions)


def _placer(
    rule: str,
    parts: Sequence[Part],
    sources: Sequence[Source],
    settings: Settings,
    notes: list[str],
) -> "_Placer | _ClipPlacer":
    if rule == "clip":
        notes.append(
            "split by clip: clips of one source stand in several splits, so scores on val and test "
            "flatter; split by source for honest ones"
        )
        return _ClipPlacer(sources, settings.fractions)
    used = [number for number, part in enumerate(parts) if part.clips]
    if rule == "published":
        return _Placer(_published(used, sources, settings, notes), {}, settings.spec.seconds)
    by_source: dict[int, str] = {}
    in_time: dict[int, list[tuple[str, float, float]]] = {}
    pool: list[int] = []  # Of classes with few and short sources.
    for members in _strata(used, sources):
        groups = {group_of(sources[number]) for number in members}
        cuts = _cuts_in_time(members, parts, settings)
        if len(groups) >= 3 or sum(settings.fractions) == 0:
            split_of = place_groups(groups, settings.fractions)
            by_source |= {number: split_of[group_of(sources[number])] for number in members}
        elif all(cut is not None for cut in cuts.values()):
            in_time |= {number: cut for number, cut in cuts.items() if cut is not None}
            notes += [
                f"{sources[number].id}: split in time, for want of other sources"
                for number in members
            ]
        else:
            pool += members
    groups = {group_of(sources[number]) for number in pool}
    split_of = place_groups(groups, settings.fractions if len(groups) >= 3 else (0.0, 0.0))
    by_source |= {number: split_of[group_of(sources[number])] for number in pool}
    return _Placer(by_source, in_time, settings.spec.seconds)


def group_of(source: Source) -> str:
    """What must not stand in two splits."""
    return source.group or source.id


def _published(
    used: Iterable[int], sources: Sequence[Source], settings: Settings, notes: list[str]
) -> dict[int, str]:
    """The published splits; val, if there is none, is taken out of train by group."""
    given = {number: str(sources[number].split) for number in used}
    share = settings.fractions[0]
    if "val" in given.values() or share == 0 or not given:
        return given
    trained = {group_of(sources[number]) for number, split in given.items() if split == "train"}
    if len(trained) < 2:
        return given
    chosen = {g for g, s in place_groups(trained, (share, 0.0)).items() if s == "val"}
    notes.append(f"no val was published: {len(chosen)} groups of train were taken for it")
    return {
        number: "val" if split == "train" and group_of(sources[number]) in chosen else split
        for number, split in given.items()
    }


def _strata(used: Sequence[int], sources: Sequence[Source]) -> list[list[int]]:
    """Sources by class, if every group is of one class; else all of them as one."""
    labels: dict[str, set[str | None]] = defaultdict(set)
    for number in used:
        labels[group_of(sources[number])].add(sources[number].label)
    if any(len(names) > 1 for names in labels.values()):
        return [list(used)]
    strata: dict[str | None, list[int]] = defaultdict(list)
    for number in used:
        strata[sources[number].label].append(number)
    return list(strata.values())


def place_groups(groups: Iterable[str], fractions: tuple[float, float]) -> dict[str, str]:
    """The split of each group: a function of its own name, but for splits that stay empty.

    Args:
        groups: names.
        fractions: of val and test.
    """
    ranked = sorted(groups, key=_number)
    split_of = {group: _by_number(_number(group), fractions) for group in ranked}
    of = {s: [g for g in ranked if split_of[g] == s] for s in SPLITS}
    if ranked and not of["train"]:
        split_of[ranked[-1]] = "train"
    if len(ranked) > 1 and fractions[1] > 0 and not of["test"]:
        split_of[ranked[0]] = "test"
    of = {s: [g for g in ranked if split_of[g] == s] for s in SPLITS}
    if fractions[0] > 0 and not of["val"]:
        if len(of["train"]) > 1:
            split_of[of["train"][0]] = "val"
        elif len(of["test"]) > 1:
            split_of[of["test"][-1]] = "val"
    return split_of


def _number(name: str) -> float:
    """In [0, 1), made from a name alone."""
    return int(digest(name)[:13], 16) / 16**13


def _by_number(number: float, fractions: tuple[float, float]) -> str:
    val, test = fractions
    return "test" if number < test else "val" if number < test + val else "train"


def _cuts_in_time(
    members: Sequence[int], parts: Sequence[Part], settings: Settings
) -> dict[int, list[tuple[str, float, float]] | None]:
    """The cut of each source; segments of one file ("FILE@START-END") share theirs."""
    files: dict[str, list[int]] = defaultdict(list)
    for number in members:
        files[parts[number].source.rsplit("@", 1)[0]].append(number)
    cuts: dict[int, list[tuple[str, float, float]] | None] = {}
    for numbers in files.values():
        clips = [clip for number in numbers for clip in parts[number].clips]
        cuts |= dict.fromkeys(numbers, _cut_in_time(clips, settings))
    return cuts


def _cut_in_time(
    clips: Sequence[PartClip], settings: Settings
) -> list[tuple[str, float, float]] | None:
    """Beginning and end of each split of one file, seconds; None if one would have no clip.

    The last clips are test; of those that end a gap before them the last are val; train is what
    ends a gap before that.
    """
    starts = sorted(clip.start_s for clip in clips)
    length_s, (val, test) = settings.spec.seconds, settings.fractions
    span_s = starts[-1] + length_s - starts[0]
    gap_s = min(GAP_S, GAP_SHARE * span_s)
    end_s = starts[-1] + length_s
    cuts: list[tuple[str, float, float]] = []
    for split, share in (("test", test), ("val", val), ("train", 1.0)):
        if share == 0:
            continue
        free = [start for start in starts if start + length_s <= end_s + 1e-6]
        if not free:
            return None
        first = 0 if split == "train" else -max(1, round(share * len(starts)))
        start_s = free[max(first, -len(free))]
        cuts.append((split, start_s, end_s))
        end_s = start_s - gap_s
    return cuts


def _duplicates(parts: Sequence[Part]) -> dict[tuple[int, int], tuple[str, float]]:
    """Clips that repeat one of an earlier source, and where that one stands."""
    places = [(n, i) for n, part in enumerate(parts) for i in range(len(part.clips))]
    clips = [parts[n].clips[i] for n, i in places]
    if not clips:
        return {}
    same: dict[str, list[int]] = defaultdict(list)
    for member, clip in enumerate(clips):
        same[clip.digest].append(member)
    groups = near_duplicates(
        words([clip.measures["picture_hash"] for clip in clips]),
        words([clip.measures["sound_hash"] for clip in clips]),
        np.array([n for n, _ in places]),
    )
    repeated: dict[tuple[int, int], tuple[str, float]] = {}
    for group in [*groups, *same.values()]:
        first = places[group[0]][0]
        for member in group:
            if places[member][0] != first:  # Windows of one source may overlap.
                repeated[places[member]] = (parts[first].source, clips[group[0]].start_s)
    return repeated

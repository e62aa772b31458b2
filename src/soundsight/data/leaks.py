"""What stands in two splits and must not: moments of a file, sources, groups."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from soundsight.data.prepared import SPLITS, ClipRecord

SEGMENT = re.compile(r"@\d+(\.\d*)?(-\d+(\.\d*)?)?$")
"""The end of a source's id that tells where in its file a segment lies."""
SAME_S = 1e-6
"""Times that differ by less are the same."""

Leak = tuple[Literal["error", "warning"], str, str]
"""How bad it is, what leaks ("" for the whole data set), and how, in one line."""


def leaks(splits: Mapping[str, Sequence[ClipRecord]], rule: str, seconds: float) -> Iterator[Leak]:
    """Look for what stands in two splits.

    Only a source that was cut in time, with a gap, is let off with a warning.

    Args:
        splits: the clips of each.
        rule: how they came there: "source", "clip" or "published".
        seconds: duration of a clip.

    Yields:
        What leaks; each source is told of once.
    """
    sources: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    files: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    groups: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for split, records in splits.items():
        for record in records:
            sources[record.source][split].append(record.start_s)
            files[SEGMENT.sub("", record.source)][split].append(record.start_s)
            groups[record.group or record.source][split].add(record.source)
    torn = {file for file, starts in files.items() if _gap_s(starts, seconds) < 0}
    for file in sorted(torn):
        yield "error", file, f"the same moments stand in {_all(files[file])}"
    told = {source for source in sources if SEGMENT.sub("", source) in torn}
    in_time = 0
    for source, starts in sources.items():
        if len(starts) < 2 or source in told:
            continue
        told.add(source)
        gap_s = _gap_s(starts, seconds)
        if rule == "source" and gap_s > 0:
            in_time += 1
        elif rule == "clip":
            yield "error", source, f"stands in {_all(starts)}: split by source instead"
        else:
            touching = "" if gap_s > 0 else ", without a gap in time"
            yield "error", source, f"stands in {_all(starts)}{touching}"
    if in_time:
        are = "source is" if len(sources) == 1 else "sources are"
        how = "beginning and end stand in different splits, so scores flatter"
        yield "warning", "", f"{in_time} of {len(sources)} {are} cut in time: {how}"
    for group, where in groups.items():
        if len(where) > 1 and not told & set().union(*where.values()):
            yield "error", group, f"the group stands in {_all(where)}"


def _all(names: Iterable[str]) -> str:
    return " and ".join(sorted(names, key=SPLITS.index))


def _gap_s(starts: Mapping[str, Sequence[float]], seconds: float) -> float:
    """The shortest time between clips of different splits.

    Args:
        starts: where the clips of each split begin, seconds.
        seconds: duration of a clip.

    Returns:
        Seconds; 0 where a clip begins as another one ends, negative if they share a moment,
        infinity for a single split.
    """
    least = math.inf
    ends: dict[str, float] = {}
    for start, split in sorted((start, split) for split, some in starts.items() for start in some):
        least = min([least, *(start - end for other, end in ends.items() if other != split)])
        ends[split] = start + seconds
    return 0.0 if abs(least) < SAME_S else least

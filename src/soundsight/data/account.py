"""The account of a preparation: what was kept, what was dropped, and why."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from soundsight.data.decide import Decisions
from soundsight.data.part import Part
from soundsight.data.plan import Plan

SUMMARY = ("command", "settings", "split_rule", "notes", "sources", "clips", "dropped")
"""Keys of an account, which `report.json` has among others."""


def account(
    plan: Plan, parts: Sequence[Part], decisions: Decisions, command: str
) -> dict[str, Any]:
    """What `report.json` tells.

    Args:
        plan: settings and sources.
        parts: what became of each source.
        decisions: what stays where.
        command: how a user asks for the same.

    Returns:
        JSON values: "command", "settings", "notes"; "sources": "total", "used" (those with a clip
        kept), "seconds" (durations of those that could be read) and "bad" (rows of "source" and
        "reason"); "clips": "kept", "dropped" (counts by the reason's first word) and "splits"
        (counts); "dropped": rows of "source", "start_s" and "reason".
    """
    dropped = [(n, clip) for n, part in enumerate(parts) for clip in part.dropped]
    dropped = sorted([*dropped, *decisions.dropped], key=lambda row: (row[0], row[1].start_s))
    words = Counter(clip.reason.split(":", 1)[0] for _, clip in dropped)
    kept = {number for places in decisions.splits.values() for number, _ in places}
    bad = [
        {"source": part.source, "reason": _with_kept(part, part.error)}
        for part in parts
        if part.error is not None
    ]
    return {
        "command": command,
        "settings": plan.settings.to_json(),
        "split_rule": decisions.rule,
        "notes": [*plan.notes, *decisions.notes],
        "sources": {
            "total": len(parts),
            "used": len(kept),
            "seconds": [round(part.seconds, 3) for part in parts if part.seconds > 0],
            "bad": bad,
        },
        "clips": {
            "kept": sum(map(len, decisions.splits.values())),
            "dropped": dict(sorted(words.items())),
            "splits": {split: len(places) for split, places in decisions.splits.items()},
        },
        "dropped": [
            {"source": parts[n].source, "start_s": clip.start_s, "reason": clip.reason}
            for n, clip in dropped
        ],
    }


def worst(summary: dict[str, Any]) -> str:
    """Why there is nothing, in a line: the commonest reasons."""
    bad, dropped = summary["sources"]["bad"], summary["clips"]["dropped"]
    told = [f"{count} clips {word}" for word, count in dropped.items()]
    if bad:
        first = bad[0]
        told.append(f"{len(bad)} sources unreadable ({first['source']}: {first['reason']})")
    return "; ".join(told) or "no source is as long as a clip"


def _with_kept(part: Part, reason: str) -> str:
    if not part.clips:
        return reason
    return f"{reason} (the {len(part.clips)} clips before that are kept)"

"""Write an evaluation of cross-modal generation to a folder: numbers, and a page for people.

`scores.json`: title, protocol once, claims, tidy rows (intervals that make no sense are null);
`scores.csv`: the rows; `index.html`: a page that opens from disk; `clips/`: its players and
pictures. Every file appears whole or not at all.
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from soundsight.evaluation import crossmodal_page
from soundsight.evaluation.crossmodal_claims import make_claims
from soundsight.evaluation.crossmodal_scores import (
    MADE,
    SHUFFLED,
    CrossmodalScores,
    Examples,
)
from soundsight.evaluation.figures import film_strip, png
from soundsight.evaluation.joint_claims import entries
from soundsight.evaluation.joint_report import spectrogram
from soundsight.evaluation.joint_scores import group_rows
from soundsight.evaluation.scores import Row
from soundsight.evaluation.writing import versions, write_file, write_player, write_scores
from soundsight.media.clip import Clip
from soundsight.page.pieces import document

TILE = 64
"""Least side of a picture in a grid, pixels."""
GAP = 6
"""Pixels between the rows of a grid, and before the last column."""
PLAYED = 2
"""Most outputs of a pair that can be played; the grid shows all."""
OURS = re.compile(r"real_\d{2,}\.mp4|\d{2,}_\w+_(image|sound)(\.png|_\d{2,}_\d\.mp4)", re.ASCII)
"""Names of the files that are written into `clips/`."""
WORDS = {
    "Accuracy": "Is what was made of the right class? By judges that were trained on real clips "
    "and are no part of any model.",
    "The right partner": "Does it belong to the very clip that was given, and not only to its "
    "class? This asks for more than accuracy does.",
    "Quality and variety": "Does it look and sound like real clips, is there more than one answer "
    "to a given clip, and is anything learned by heart?",
}


def write_crossmodal_report(
    scores: CrossmodalScores,
    out: str | Path,
    *,
    title: str,
    protocol: Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the report of one evaluation.

    Args:
        scores: what `evaluate_crossmodal` returned.
        out: folder of the report, made if missing; files of an older report are replaced.
        title: heading of the page, any text.
        protocol: anything that belongs beside the numbers (data, recipes, hashes), JSON-able.
        groups: by name, the names of runs that differ only in their seed: of several such, means
            and standard deviations are shown.

    Returns:
        Path of the page.

    Raises:
        ValueError: if a group has a run that was not evaluated.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    several = {name: list(runs) for name, runs in (groups or {}).items() if len(runs) > 1}
    rows = scores.rows + _group_rows(scores.rows, several)
    recordings = scores.compared["recordings"]
    claims = make_claims(scores.rows, scores.models, several, recordings=recordings)
    who = entries(scores.models, several)
    block = _protocol_block(scores, protocol or {}, several)
    grids, played = _write_examples(scores, out)
    write_scores(out, title, block, [claim.numbers() for claim in claims], rows)
    board = crossmodal_page.board_of(rows, who)
    single = {run: [run] for runs in several.values() for run in runs}
    sections = [
        ("In short", crossmodal_page.claims_section(claims, scores.notes)),
        ("Look", crossmodal_page.grids_section(grids)),
        ("Look and listen", crossmodal_page.players_section(played)),
        *((h, crossmodal_page.table_section(board, h, words)) for h, words in WORDS.items()),
        ("What a classifier is shown", crossmodal_page.classifier_section(board)),
        ("By class", crossmodal_page.bars_section(rows, scores.models, scores.classes)),
        ("Single runs", _single_runs(rows, single)),
        ("How to read this", crossmodal_page.reading_section(board)),
        ("Protocol", crossmodal_page.protocol_section(block, scores.judges)),
    ]
    lead = crossmodal_page.lead(scores.compared, scores.models, scores.spec, scores.protocol.split)
    page = document(title, lead, sections, footer=crossmodal_page.FOOTER)
    write_file(out / "index.html", page)
    _remove_stale(
        out, [file for one in played for _, file in one.players] + [g.file for g in grids]
    )
    return out / "index.html"


def _group_rows(rows: Sequence[Row], groups: Mapping[str, Sequence[str]]) -> list[Row]:
    """Means over runs, and over their shuffled doubles where all runs have one."""
    names = {row.name for row in rows}
    doubles = {
        name + SHUFFLED: shuffled
        for name, runs in groups.items()
        if set(shuffled := [run + SHUFFLED for run in runs]) <= names
    }
    return group_rows(rows, groups) + group_rows(rows, doubles)


def _single_runs(rows: Sequence[Row], single: Mapping[str, Sequence[str]]) -> str:
    """Tables of the runs that are part of a group."""
    if not single:
        return ""
    board = crossmodal_page.board_of(rows, single)
    return "".join(crossmodal_page.table_section(board, h, words) for h, words in WORDS.items())


def _protocol_block(
    scores: CrossmodalScores, extra: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """All that is needed to know what the numbers mean, and to get them again."""
    indices = scores.compared.get("indices", [])
    return {
        **dataclasses.asdict(scores.protocol),
        "clip": dataclasses.asdict(scores.spec),
        "models": scores.models,
        "groups": dict(groups),
        "classes_by_number": scores.classes,
        "judged_by": [judged._asdict() for judged in scores.judges],
        **{key: value for key, value in scores.compared.items() if key != "indices"},
        "not_scored": scores.notes,
        **extra,
        "versions": versions(),
        "indices": indices,
    }


# Pictures and players.


def _remove_stale(out: Path, links: Sequence[str]) -> None:
    """Remove files of an older report from `clips/`, and leave those of others alone."""
    for path in (out / "clips").glob("*"):
        if OURS.fullmatch(path.name) and f"clips/{path.name}" not in links:
            path.unlink()


def _write_examples(
    scores: CrossmodalScores, out: Path
) -> tuple[list[crossmodal_page.Grid], list[crossmodal_page.Played]]:
    """Grids and players of what was made, and players of the real pairs."""
    examples = scores.examples
    if examples is None:
        return [], []
    titles = _titles(examples, scores.classes)
    grids = []
    real = crossmodal_page.Played("Real pairs", [])
    for i, title in enumerate(titles):
        real.players.append((title, _play(examples.pairs[i : i + 1], out, f"real_{i + 1:02d}")))
    played = [real]
    for role in MADE:
        for number, (name, made) in enumerate(examples.made.get(role, {}).items()):
            stem = f"{number + 1:02d}_{_plain(name)}_{role}"
            grids.append(_write_grid(examples, role, name, titles, stem, out))
            shown = crossmodal_page.Played(
                f"{name}: {crossmodal_page.ROLE_WORDS[role].lower()}", []
            )
            for pair, z, clip in _outputs(examples, role, made):
                file = _play(clip, out, f"{stem}_{pair + 1:02d}_{z + 1}")
                shown.players.append((f"{titles[pair]}, output {z + 1}", file))
            played.append(shown)
    return grids, played


def _titles(examples: Examples, classes: Sequence[str]) -> list[str]:
    """What each pair is called: its class, or its number."""
    label = examples.pairs.label
    numbers = [-1] * len(examples.pairs) if label is None else label.tolist()
    return [
        f"Pair {i + 1}" + (f" ({classes[k]})" if 0 <= k < len(classes) else "")
        for i, k in enumerate(numbers)
    ]


def _plain(name: str) -> str:
    """A name as part of a file's name: plain letters alone."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "model"


def _play(clip: Clip, out: Path, stem: str) -> str:
    """Write one pair as a player's file; returns its relative link."""
    write_player(clip, out / "clips" / f"{stem}.mp4")
    return f"clips/{stem}.mp4"


def _outputs(examples: Examples, role: str, made: Clip) -> Iterator[tuple[int, int, Clip]]:
    """The first outputs of each pair, together with what was given: pair, output, clip."""
    samples = len(made) // len(examples.pairs)
    part = "video" if role == "image" else "audio"
    for i in range(len(examples.pairs)):
        for z in range(min(PLAYED, samples)):
            row = i * samples + z
            output = made.parts()[part][row : row + 1]
            yield i, z, examples.pairs[i : i + 1].replace(**{part: output})


def _write_grid(
    examples: Examples, role: str, name: str, titles: Sequence[str], stem: str, out: Path
) -> crossmodal_page.Grid:
    """One picture: a row for each pair, with the real part, all outputs, and the nearest clip."""
    made, near = examples.made[role][name], examples.nearest.get(role, {}).get(name)
    samples = len(made) // len(examples.pairs)
    rows = []
    for i in range(len(examples.pairs)):
        outputs = made[i * samples : (i + 1) * samples]
        row = _tiles([examples.pairs[i : i + 1], outputs], role)
        if near is not None:
            last = _tiles([near[i : i + 1]], role)
            row = np.concatenate([row, np.zeros((len(row), GAP, 4), np.uint8), last], axis=1)
        rows.append(row)
        rows.append(np.zeros((GAP, row.shape[1], 4), np.uint8))
    write_file(out / "clips" / f"{stem}.png", png(np.concatenate(rows[:-1])))
    word = "picture" if role == "image" else "spectrogram of the sound"
    columns = [f"the real {word}", f"{samples} outputs of different noise"]
    if near is not None:
        columns.append("the training clip nearest to the first output")
    return crossmodal_page.Grid(name, role, f"clips/{stem}.png", list(titles), columns)


def _tiles(clips: Sequence[Clip], role: str) -> UInt8[np.ndarray, "i j 4"]:
    """Pictures, or spectrograms of sounds, side by side; a wider gap after those of one part."""
    if role == "image":
        frames = torch.cat([clip.video for clip in clips if clip.video is not None])[:, 0]
        scale = -(-TILE // frames.shape[-1])
        return film_strip(frames, range(len(frames)), seen=len(clips[0]), scale=scale)
    parts: list[np.ndarray] = []
    for clip in clips:
        assert clip.audio is not None
        for wave in clip.audio:
            if parts:
                wide = GAP if len(parts) == 1 else 2
                parts.append(np.zeros((len(parts[0]), wide, 4), np.uint8))
            parts.append(spectrogram(wave, sample_rate=clip.spec.sample_rate)[:, ::2])
    return np.concatenate(parts, axis=1)

"""Write an evaluation of generated clips to a folder: numbers for machines, a page for people.

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
from jaxtyping import Float32, UInt8
from torch import Tensor

from soundsight.evaluation import joint_page
from soundsight.evaluation.figures import film_strip, png
from soundsight.evaluation.joint_claims import entries, make_claims
from soundsight.evaluation.joint_scores import REAL, JointScores, group_rows
from soundsight.evaluation.writing import versions, write_file, write_player, write_scores
from soundsight.media.clip import Clip
from soundsight.media.spectrogram import mel_spectrogram
from soundsight.page.pieces import document

STRIP_FRAMES = 10
"""Most frames of a film strip."""
STRIP_SIDE = 64
"""Least side of its frames, pixels."""
COLUMNS, MELS = 200, 48
"""Size of a spectrogram's picture: about so many columns, and so many rows, before enlarging."""
FLOOR = -11.5
"""Natural logarithm of the mel power that is black: the floor of the spectrograms."""
LOUD = 0.0
"""The same of what is brightest."""


def write_joint_report(
    scores: JointScores,
    out: str | Path,
    *,
    title: str,
    protocol: Mapping[str, Any] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the report of one evaluation.

    Args:
        scores: what `evaluate_joint` returned.
        out: folder of the report, made if missing; files of an older report are replaced.
        title: heading of the page, any text.
        protocol: anything that belongs beside the numbers (data, recipes, hashes), JSON-able.
        groups: by name, the names of runs that differ only in their seed: of several such, means
            and standard deviations are shown, and the single runs on demand.

    Returns:
        Path of the page.

    Raises:
        ValueError: if a group has a run that was not evaluated.
        OSError: if a file cannot be written.
    """
    out = Path(out)
    several = {name: list(runs) for name, runs in (groups or {}).items() if len(runs) > 1}
    rows = scores.rows + group_rows(scores.rows, several)
    claims = make_claims(scores, several)
    who = entries(scores.models, several)
    block = _protocol_block(scores, protocol or {}, several)
    shown = list(_write_clips(scores, who, out))
    write_scores(out, title, block, [claim.numbers() for claim in claims], rows)
    board = joint_page.Board(rows, who)
    sections = [
        ("In short", joint_page.claims_section(claims, scores.notes)),
        ("Look and listen", joint_page.players_section(shown)),
        ("Belonging together", joint_page.together_section(board)),
        ("Sound (table 3)", joint_page.sound_section(board)),
        ("Picture (table 4)", joint_page.picture_section(board)),
        ("Variety", joint_page.variety_section(board, scores.compared)),
        ("How to read this", joint_page.reading_section(board)),
        ("Protocol", joint_page.protocol_section(block, scores.judges)),
    ]
    page = document(title, _lead(scores), sections, footer=joint_page.FOOTER)
    write_file(out / "index.html", page)
    return out / "index.html"


def _lead(scores: JointScores) -> str:
    """What was done, in two sentences."""
    p, spec, n = scores.protocol, scores.spec, scores.compared["clips"]
    models = "one model" if len(scores.models) == 1 else f"each of {len(scores.models)} models"
    return (
        f"{n} clips that {models} made from noise alone, picture and sound together: "
        f"{spec.frames} frames ({spec.seconds:.3g} s) of {spec.size} x {spec.size} pixels with "
        f"sound of {spec.sample_rate} Hz. They are compared with {scores.compared['real_clips']} "
        f"real clips of the {p.split} split"
        + ("; nothing was learned from these." if p.split == "test" else ".")
    )


def _protocol_block(
    scores: JointScores, extra: Mapping[str, Any], groups: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """All that is needed to know what the numbers mean, and to get them again."""
    indices = scores.compared.get("indices", [])
    return {
        **dataclasses.asdict(scores.protocol),
        "clip": dataclasses.asdict(scores.spec),
        "models": scores.models,
        "groups": dict(groups),
        "judged_by": [judged._asdict() for judged in scores.judges],
        **{key: value for key, value in scores.compared.items() if key != "indices"},
        "not_scored": scores.notes,
        **extra,
        "versions": versions(),
        "indices": indices,
    }


def _write_clips(
    scores: JointScores, who: Mapping[str, Sequence[str]], out: Path
) -> Iterator[joint_page.Shown]:
    """Players and pictures: each model, the first run of each group, and real clips at once."""
    at_once = {runs[0]: (name, len(runs)) for name, runs in who.items()}
    order = [REAL, *at_once, *(name for name in scores.models if name not in at_once)]
    for number, name in enumerate(order):
        if (clips := scores.examples.get(name)) is None:
            continue
        group, runs = at_once.get(name, (name, 1))
        title = "Real clips" if name == REAL else name
        note = f"One of the {runs} runs of {group}; the others are below." if runs > 1 else ""
        kept = [
            _write_clip(clips[i : i + 1], f"{_stem(number, name)}_{i + 1:02d}", i + 1, out)
            for i in range(len(clips))
        ]
        yield joint_page.Shown(title, note, kept, name != REAL and name not in at_once)


def _stem(number: int, name: str) -> str:
    """Beginning of a file name that holds nothing but plain letters."""
    return f"clips/{number + 1:02d}_" + (re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_") or "model")


def _write_clip(clip: Clip, stem: str, number: int, out: Path) -> joint_page.Player:
    """A clip's player, film strip and spectrogram."""
    assert clip.video is not None
    assert clip.audio is not None
    frames = clip.video.shape[1]
    count = min(STRIP_FRAMES, frames)
    # The frame at the middle of each place, so that the sound below has the same clock.
    chosen = [int((place + 0.5) * frames / count) for place in range(count)]
    scale = -(-STRIP_SIDE // clip.spec.size)
    write_player(clip, out / f"{stem}.mp4")
    write_file(
        out / f"{stem}_strip.png", png(film_strip(clip.video[0], chosen, seen=0, scale=scale))
    )
    sound = spectrogram(clip.audio[0], sample_rate=clip.spec.sample_rate)
    write_file(out / f"{stem}_sound.png", png(sound))
    return joint_page.Player(
        f"Clip {number}", f"{stem}.mp4", f"{stem}_strip.png", f"{stem}_sound.png"
    )


def spectrogram(audio: Float32[Tensor, " n"], *, sample_rate: int) -> UInt8[np.ndarray, "i j 4"]:
    """A picture of a sound: time to the right, tones upwards, bright is loud.

    The brightness of a level is the same in all pictures.

    Args:
        audio: waveform in [-1, 1].
        sample_rate: Hz.

    Returns:
        RGBA picture.
    """
    from matplotlib import colormaps

    n_fft = 2 ** round(np.log2(0.032 * sample_rate))
    hop = max(1, len(audio) // COLUMNS)
    wave = audio.detach().clamp(-1, 1)[None]
    wave = torch.nn.functional.pad(wave, (0, max(0, n_fft - wave.shape[1])))
    mel = mel_spectrogram(wave, sample_rate=sample_rate, n_fft=n_fft, hop_length=hop, n_mels=MELS)
    level = ((mel[0] - FLOOR) / (LOUD - FLOOR)).clamp(0, 1).flip(0).numpy()
    return (colormaps["magma"](level) * 255).round().astype(np.uint8)

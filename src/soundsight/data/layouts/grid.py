"""GRID: 34 speakers, each saying 1,000 sentences of six words, filmed from the front, 3 s each.

Source: M. Cooke, J. Barker, S. Cunningham, X. Shao, "An audio-visual corpus for speech perception
and automatic speech recognition" (JASA 2006), doi 10.5281/zenodo.3625687. CC BY 4.0.

```
GRID/*.{mpg,align}   or   GRID/s<N>/*.{mpg,align}   or   GRID/s<N>/{video/*.mpg,align/*.align}
```
A file's name is its sentence, a letter a word: "bbaf2n" is "bin blue at f two now". `words` spells
it out, `alignment` reads when each word was said. The class is the digit, "0" to "9": ten classes
of much the same size, under the names that spoken digits have in `fsdd_mnist`.

Files show 3.00 s of picture or a little less (299 of speaker 1's first 300 make 75 frames, one 74),
and words end by 2.83 s: clips of 72 frames, 2.88 s, hold every sentence, and halve three times.

Splits are by recording: every speaker is in all of them. `grid_speakers` keeps speakers apart.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from soundsight.data.folder import SUFFIXES
from soundsight.data.layouts import tree
from soundsight.data.source import Listing, Recording
from soundsight.media.clip import ClipSpec

SPEC = ClipSpec(frames=72, fps=25, size=64, channels=3, sample_rate=16000)
TREE = "GRID/*.{mpg,align} or GRID/s<N>/*.{mpg,align} or GRID/s<N>/{video/*.mpg,align/*.align}"
COMMANDS = {"b": "bin", "l": "lay", "p": "place", "s": "set"}
COLORS = {"b": "blue", "g": "green", "r": "red", "w": "white"}
PREPOSITIONS = {"a": "at", "b": "by", "i": "in", "w": "with"}
LETTERS = {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"}
"""All but w, the only one that is long."""
DIGITS = dict(
    zip(
        "z123456789",
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
        strict=True,
    )
)
ADVERBS = {"a": "again", "n": "now", "p": "please", "s": "soon"}
TICKS_PER_S = 25000
"""Unit of the times in .align files: the last of them, 74,500, stands at 2.98 s."""
PAUSES = {"sil", "sp"}
"""What .align files call silence before, after, and between words."""


class Sentence(NamedTuple):
    """The words of a sentence."""

    command: str
    color: str
    preposition: str
    letter: str
    digit: str
    adverb: str


class Word(NamedTuple):
    """A word, and when it is said on the video's clock, seconds."""

    word: str
    start_s: float
    end_s: float


def read(roots: Sequence[Path]) -> Listing:
    """One recording per sentence; see `words` for its words.

    Args:
        roots: the folder with the videos, or with those of the speakers.

    Returns:
        Recordings in order of their ids.

    Raises:
        ValueError: if no video has the name of a sentence.
    """
    recordings, notes, _ = read_speakers("grid", roots)
    return Listing([*recordings], notes)


def read_speakers(
    layout: str, roots: Sequence[Path]
) -> tuple[list[Recording], list[str], list[str]]:
    """The recordings, notes, and the speaker of each recording ("" where no folder tells).

    Args:
        layout: its name, for errors.
        roots: the only root.

    Raises:
        ValueError: if no video has the name of a sentence.
    """
    (root,) = tree.the_folders(layout, roots, "the folder with GRID's videos")
    found: list[tuple[Recording, str]] = []
    odd: list[str] = []
    alignments = {_key(path, root) for path in tree.walk(root, (".align",))}
    missing = 0
    for path in tree.walk(root, SUFFIXES):
        name = tree.relative(path, root)
        try:
            sentence = words(path)
        except ValueError:
            odd.append(name)
            continue
        speaker, stem = _key(path, root)
        missing += (speaker, stem) not in alignments
        label = str(list(DIGITS.values()).index(sentence.digit))
        group = f"{speaker or 'one'}/{stem}"  # The same sentence, if it is there in two formats.
        found.append((Recording(name, str(path), label=label, group=group), speaker))
    if not found:
        raise tree.unlike(root, layout, TREE)
    found.sort(key=lambda pair: pair[0].id)
    notes = []
    if odd:
        notes.append(f"{tree.plural(len(odd), 'video')} named like no sentence: {odd[0]}, ...")
    if missing:
        notes.append(f"{tree.plural(missing, 'video')} without .align file: no times of words")
    return [recording for recording, _ in found], notes, [speaker for _, speaker in found]


def words(path: str | Path) -> Sentence:
    """The sentence that a file's name stands for.

    Args:
        path: video or .align file, or just the name.

    Raises:
        ValueError: if the name is not six letters of the corpus.

    Example:
        >>> " ".join(words("s1/bbaf2n.mpg"))
        'bin blue at f two now'
    """
    stem = Path(path).stem.lower()
    choices = (COMMANDS, COLORS, PREPOSITIONS, LETTERS, DIGITS, ADVERBS)
    if len(stem) != len(choices) or any(c not in w for c, w in zip(stem, choices, strict=True)):
        raise ValueError(
            f"{path}: no sentence of GRID: its name must be six letters for command (blps), color "
            "(bgrw), preposition (abiw), letter (no w), digit (z1-9), adverb (anps), as bbaf2n"
        )
    return Sentence(*(word[letter] for letter, word in zip(stem, choices, strict=True)))


def alignment(path: str | Path) -> list[Word]:
    """When the words of a video are said, pauses left out.

    Args:
        path: a video (its .align file is looked for beside it, and in ../align) or .align file.

    Returns:
        The words in order of time.

    Raises:
        ValueError: if there is no .align file, or a line of it is not "start end word".
    """
    path = Path(path)
    name = f"{path.stem}.align"
    places = (path.with_suffix(".align"), path.parent.parent / "align" / name)
    file = (
        path if path.suffix.lower() == ".align" else next((p for p in places if p.is_file()), None)
    )
    if file is None or not file.is_file():
        raise ValueError(f"{path}: has no {name} beside it or in ../align")
    spoken = []
    for number, line in enumerate(file.read_text("ascii", "replace").splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            raise ValueError(f"{file}: line {number}: must be 'start end word', not {line[:80]!r}")
        if fields[2] not in PAUSES:
            start_s, end_s = (int(field) / TICKS_PER_S for field in fields[:2])
            spoken.append(Word(fields[2], start_s, end_s))
    return spoken


def _key(path: Path, root: Path) -> tuple[str, str]:
    """The speaker, from the folder s<N> nearest to the file, and the sentence."""
    parents = [part.lower() for part in path.relative_to(root).parts[:-1]]
    speakers = [part for part in parents if re.fullmatch(r"s\d+", part)]
    return speakers[-1] if speakers else "", path.stem.lower()

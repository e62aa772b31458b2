"""Folders of strangers: listed in one order, whatever the case, without hidden files or loops."""

import os
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Image files looked for, in any case."""
SOUNDS = (".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma")
"""Sound files looked for, in any case."""
JUNK = {"__macosx", "lost+found", "$recycle.bin", "system volume information"}
"""Folders that systems put anywhere; never part of a data set."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no part of a data set."""
    return name.startswith(".") or name.casefold() in JUNK


def folders(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; hidden ones left out."""
    with os.scandir(folder) as entries:
        found = [Path(e.path) for e in entries if not is_hidden(e.name) and e.is_dir()]
    return sorted(found)


def files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of these suffixes (in any case) in a folder, sorted."""
    with os.scandir(folder) as entries:
        found = [
            Path(entry.path)
            for entry in entries
            if not is_hidden(entry.name)
            and PurePosixPath(entry.name).suffix.lower() in suffixes
            and entry.is_file()
        ]
    return sorted(found)


def walk(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of these suffixes in a folder and all those in it, sorted.

    Links to folders are followed, but none that leads back to a folder it is in, and no folder is
    listed twice.
    """
    found: list[Path] = []
    seen: set[Path] = set()
    waiting = deque([folder])
    while waiting:
        place = waiting.popleft()
        real = place.resolve()
        if real in seen or (place.is_symlink() and place.parent.resolve().is_relative_to(real)):
            continue
        seen.add(real)
        found += files(place, suffixes)
        waiting += sorted(folders(place), key=Path.is_symlink)  # A folder before links to it.
    return sorted(found)


def child(folder: Path, *choices: str) -> Path | None:
    """The folder in a folder that has the first of these names that is there, in any case."""
    have = {inner.name.casefold(): inner for inner in reversed(folders(folder))}
    return next((have[name.casefold()] for name in choices if name.casefold() in have), None)


def home(root: Path, *choices: str) -> Path | None:
    """The folder that holds one of these folders: the root, or else the first one in it."""
    return next((f for f in [root, *folders(root)] if child(f, *choices) is not None), None)


def the_folders(layout: str, roots: Sequence[Path], *what: str) -> list[Path]:
    """The roots, checked to be as many folders as the layout asks for.

    Args:
        layout: its name.
        roots: what was given.
        what: what each of them is to be, in words.

    Raises:
        ValueError: if there are more or fewer, or one is no folder.
    """
    if len(roots) != len(what):
        raise ValueError(
            f"layout {layout} takes {len(what)} folder{'s' * (len(what) > 1)} "
            f"({', '.join(what)}), not {len(roots)}: {' '.join(map(str, roots)) or 'none given'}"
        )
    for root, name in zip(roots, what, strict=True):
        if not root.is_dir():
            raise ValueError(f"{root}: no such folder; layout {layout} needs here {name}")
    return list(roots)


def unlike(root: Path, layout: str, tree: str) -> ValueError:
    """The error for a root that holds nothing of a layout."""
    return ValueError(f"{root}: holds no files of layout {layout}; expected {tree}")


def relative(path: Path, root: Path) -> str:
    """A path below a root, with forward slashes."""
    return PurePosixPath(path.relative_to(root)).as_posix()


def one_spelling(known: dict[str, str], name: str) -> str:
    """The way a name was first spelt: "Cello" and "cello" are one class."""
    return known.setdefault(name.casefold(), name)


def plural(count: int, noun: str) -> str:
    """A count and its noun: 1 file, 1,200 files."""
    return f"{count:,} {noun}{'s' * (count != 1)}"

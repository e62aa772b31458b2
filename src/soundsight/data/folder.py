"""Any folder of videos with sound as a data set of clips.

Each video is decoded once, at the spec's rates and size, into a cache on disk, and cut into windows
of `spec.frames` frames. Splits are by source, so that no two splits share a recording: sources are
ranked by a hash of their relative name; the first are test, the next val, the rest train, with at
least one source each. With one or two sources only, the duration of each is cut at fixed fractions
instead: its beginning is train, what follows val, its end test, and windows lie within a part.

A split's frames do not depend on the length of the clips: a model trained on short windows can be
evaluated on longer ones without meeting a frame it has learned from.
"""

import hashlib
import logging
import os
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int16, UInt8
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass
from rich.console import Console
from rich.progress import Progress

from soundsight.data.prepared import WORK
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import MediaError, decode_all

SUFFIXES = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
"""Files looked for, in any case."""
SPLITS = ("train", "val", "test")
CACHE_VERSION = 2
"""Part of the cache's key: to be raised when decoding changes."""
INT16_MAX = 32767
OPEN_SOURCES = 128
"""Memory maps kept open at once: each holds two file descriptors."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class VideoFolder:
    """A folder of videos, searched recursively; see the module's docstring for the splits."""

    path: str
    """The folder."""
    kind: Literal["folder"] = "folder"
    """Tells this data set from others in a recipe."""
    hop_s: float | None = None
    """From one window's start to the next one's, seconds, at least a frame; None: no overlap."""
    split: tuple[float, float] = (0.1, 0.1)
    """Fractions of the sources that are val and test (a fraction above 0 gets at least one); with
    one or two sources, of the duration of each."""
    cache: str | None = None
    """Where decoded videos are kept; None: $SOUNDSIGHT_CACHE or ~/.cache/soundsight."""
    progress: bool = True
    """Whether decoding shows a progress bar on stderr."""

    def __post_init__(self) -> None:
        if self.hop_s is not None and not self.hop_s > 0:
            raise ValueError(f"hop_s={self.hop_s} must be positive")
        if min(self.split) < 0 or sum(self.split) >= 1:
            raise ValueError(f"split={self.split}: fractions must be at least 0, their sum below 1")

    def build(self, spec: ClipSpec, split: str) -> "FolderDataset":
        """Decode what is not in the cache yet and open one split.

        Args:
            spec: lengths, rates and size of the clips.
            split: "train", "val" or "test".

        Returns:
            The clips of the split. Files that could not be used are in `skipped`, with the reason.

        Raises:
            ValueError: if the split is unknown, the folder missing or without videos, no video can
                be used, all are shorter than a window, or the split is empty.
            OSError: if the cache cannot be written.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        folder = Path(self.path).expanduser()
        sources, skipped = self._decode(folder, spec)
        for name, source in sources.items():
            if source.frames < spec.frames:
                has_s = source.frames / spec.fps
                skipped[name] = f"{has_s:.2f} s is shorter than a clip of {spec.seconds:.2f} s"
        _report(folder, spec, sources, skipped)
        hop = spec.frames if self.hop_s is None else max(1, round(self.hop_s * spec.fps))
        frames = {name: source.frames for name, source in sources.items()}
        parts = _split_sources(frames, self.split)[split]
        windows = {
            sources[name]: list(range(part.start, part.stop - spec.frames + 1, hop))
            for name, part in parts.items()
        }
        chosen = {source: starts for source, starts in windows.items() if starts}
        if not chosen:
            longest_s = max(map(len, parts.values()), default=0) / spec.fps
            raise ValueError(
                f"{folder}: split {split!r} is empty: of {len(sources)} videos with "
                f"split={self.split} it gets at most {longest_s:.2f} s in one piece, a clip needs "
                f"{spec.seconds:.2f} s; give more or longer videos, a larger split, or fewer frames"
            )
        return FolderDataset(spec, chosen, skipped)

    def _decode(self, folder: Path, spec: ClipSpec) -> tuple[dict[str, "Source"], dict[str, str]]:
        """The cached form of every video, and why others have none, by relative name."""
        names = _find(folder)
        root = self.cache or os.environ.get("SOUNDSIGHT_CACHE") or "~/.cache/soundsight"
        cache = Path(root).expanduser() / "folder"
        sources: dict[str, Source] = {}
        skipped: dict[str, str] = {}
        places = {name: cache / _key(folder / name, spec) for name in names}
        missing = [name for name in names if _load(name, places[name], spec) is None]
        show = self.progress and bool(missing)
        with Progress(console=Console(stderr=True), disable=not show, transient=True) as bar:
            task = bar.add_task(f"Decoding {len(missing)} videos", total=len(missing))
            for name in missing:
                try:
                    _store(folder / name, places[name], spec)
                except MediaError as error:
                    skipped[name] = str(error).removeprefix(f"{folder / name}: ")
                bar.advance(task)
        for name in names:
            if name not in skipped and (source := _load(name, places[name], spec)) is not None:
                sources[name] = source
        return sources, skipped


class Source(NamedTuple):
    """One decoded video in the cache."""

    name: str
    """Relative to the folder, with forward slashes."""
    place: Path
    """Folder with frames.npy, uint8 (t, h, w, c), and sound.npy, int16 (n,)."""
    frames: int
    """How many there are."""


class FolderDataset:
    """Windows of decoded videos; made by `VideoFolder.build`."""

    def __init__(
        self, spec: ClipSpec, windows: dict[Source, list[int]], skipped: dict[str, str]
    ) -> None:
        """Hold the windows of some sources.

        Args:
            spec: of the clips.
            windows: first frames of the windows of each source.
            skipped: why other files are not used, by relative name.
        """
        self.spec = spec
        self.skipped = skipped
        self.sources = [source.name for source in windows]
        self.windows = [(source, start) for source, starts in windows.items() for start in starts]
        self._number = {source: number for number, source in enumerate(windows)}

    def __len__(self) -> int:
        return len(self.windows)

    def clips(self, indices: Sequence[int]) -> Clip:
        """The clips with these indices, in this order, as one batch on the CPU.

        Raises:
            IndexError: if an index is not in [0, len).
        """
        frames, sounds = [], []
        sources, starts = [], []
        per_frame = self.spec.samples_per_frame
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"index {index} is not in [0, {len(self)})")
            source, start = self.windows[index]
            end = start + self.spec.frames
            video, sound = _open(source.place)
            frames.append(video[start:end])
            sounds.append(sound[start * per_frame : end * per_frame])
            sources.append(self._number[source])
            starts.append(start / self.spec.fps)
        pixels = torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3)
        wave = torch.from_numpy(np.stack(sounds))
        return Clip(
            self.spec,
            video=pixels.contiguous().float().div_(255),
            audio=wave.float().div_(INT16_MAX),
            source=torch.tensor(sources),
            start=torch.tensor(starts, dtype=torch.float64),
        )


def _find(folder: Path) -> list[str]:
    """Relative names of the videos, sorted, hidden ones left out."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give a folder of videos")
    if (folder / WORK).is_dir():
        raise ValueError(f"{folder}: preparation is unfinished: give the prepare command again")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    )
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise ValueError(f"{folder}: holds no video; looked for {', '.join(SUFFIXES)} in it")
    return names


def _key(path: Path, spec: ClipSpec) -> str:
    """Names the decoded form of a file as it is now, at these rates."""
    state = path.stat()
    rates = (spec.fps, spec.size, spec.channels, spec.sample_rate)
    identity = (CACHE_VERSION, str(path.resolve()), state.st_size, state.st_mtime_ns, *rates)
    return _hash(repr(identity))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _store(path: Path, place: Path, spec: ClipSpec) -> None:
    """Decode a file into its place in the cache, which appears whole or not at all."""
    frames, sound = decode_all(path, replace(spec, frames=1))
    part = place.with_name(f"{uuid.uuid4().hex}.part")
    try:
        part.mkdir(parents=True)
        pcm = np.round(sound * INT16_MAX).astype(np.int16)
        for name, array in (("frames", frames), ("sound", pcm)):
            with (part / f"{name}.npy").open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(place, ignore_errors=True)  # A torn one; a whole one was not asked for.
        part.replace(place)
    except OSError as error:
        if _load(path.name, place, spec) is not None:
            return  # Another process was faster.
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot write the cache: {reason}", str(place)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _load(name: str, place: Path, spec: ClipSpec) -> Source | None:
    """What the cache holds in a place; None if nothing, or nothing whole."""
    try:
        video, sound = _open(place)
    except (OSError, ValueError, EOFError):  # NumPy's errors for absent and torn files.
        return None
    shape = (len(video), spec.size, spec.size, spec.channels)
    if video.shape != shape or sound.shape != (len(video) * spec.samples_per_frame,):
        return None
    return Source(name, place, len(video))


@lru_cache(maxsize=OPEN_SOURCES)
def _open(place: Path) -> tuple[UInt8[np.ndarray, "t h w c"], Int16[np.ndarray, " n"]]:
    """Memory maps of one source; the place's name tells its contents, so they can be kept."""
    video, sound = (
        np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("frames", "sound")
    )
    return video, sound


def _split_sources(
    frames: dict[str, int], fractions: tuple[float, float]
) -> dict[str, dict[str, range]]:
    """The frames that each split may use, by source, in order of the sources' names.

    Args:
        frames: how many each source has; of no effect on who is where, so that a clip's length has
            none either.
        fractions: of val and test.
    """
    if len(frames) < 3:
        cuts = {name: _split_in_time(total, fractions) for name, total in sorted(frames.items())}
        return {split: {name: parts[split] for name, parts in cuts.items()} for split in SPLITS}
    ranked = sorted(frames, key=_hash)
    val, test = _counts(len(ranked), fractions)
    members = {
        "train": ranked[test + val :],
        "val": ranked[test : test + val],
        "test": ranked[:test],
    }
    return {
        split: {name: range(frames[name]) for name in sorted(names)}
        for split, names in members.items()
    }


def _split_in_time(total: int, fractions: tuple[float, float]) -> dict[str, range]:
    """The frames of one source: first train, then val, then test."""
    val, test = (round(total * fraction) for fraction in fractions)
    to_val, to_test = total - val - test, total - test
    return {
        "train": range(to_val),
        "val": range(to_val, to_test),
        "test": range(to_test, total),
    }


def _counts(total: int, fractions: tuple[float, float]) -> tuple[int, int]:
    """How many of at least three are val and test: one at least, if any are wanted."""
    val, test = (max(1, round(total * f)) if f > 0 else 0 for f in fractions)
    while val + test >= total:  # One is left for train.
        val, test = (val - 1, test) if val > test else (val, test - 1)
    return val, test


def _report(
    folder: Path, spec: ClipSpec, sources: dict[str, Source], skipped: dict[str, str]
) -> None:
    """One warning line about skipped files; a ValueError if nothing is left."""
    if not skipped:
        return
    first = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    total = len(skipped.keys() | sources.keys())
    if len(skipped) < total:
        _log.warning("%s: skipped %d of %d videos: %s", folder, len(skipped), total, first)
        return
    if sources:
        longest = max(sources.values(), key=lambda source: source.frames)
        raise ValueError(
            f"{folder}: all {total} videos are too short or unreadable: the longest, "
            f"{longest.name}, has {longest.frames / spec.fps:.2f} s, a clip needs "
            f"{spec.seconds:.2f} s; give longer videos or fewer frames"
        )
    raise ValueError(f"{folder}: none of {total} videos can be used: {first}")

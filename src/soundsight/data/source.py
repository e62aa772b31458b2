"""What a data set is prepared from: recordings that are cut into windows, and clips already cut.

A published layout, a CSV or a plain folder is read as a list of these; nothing is opened for it.
Paths are absolute or relative to the working directory. Ids are unique, and splits, keys and order
are made from ids and groups alone: so that these do not depend on where the files happen to lie, an
id is a path relative to the data set's root. Whoever makes a listing has to see to that; files
outside of the root can have no such id, which is then a note of the listing.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from soundsight.media.picture import Box


@dataclass(frozen=True)
class Recording:
    """One video with sound, to be decoded once and cut into windows."""

    id: str
    """Unique and stable: the path relative to the data set's root, with forward slashes; with
    "#name" behind it where several recordings come from one file."""
    path: str
    """The video; inside of `archive`, if there is one."""
    sound: str | None = None
    """A file with the sound, on the video's clock; None: the video's own."""
    start_s: float = 0.0
    """Where the part to use begins, seconds on the file's clock."""
    end_s: float | None = None
    """Where it ends; None: where the file does."""
    label: str | None = None
    """Name of the class, if there is one."""
    split: str | None = None
    """The split that was published: "train", "val" or "test"."""
    group: str = ""
    """What must never stand in two splits (a speaker, a player, a take); "": the recording."""
    box: Box | None = None
    """What to crop to; None: the centre square."""
    archive: str | None = None
    """A zip file that holds `path`."""


class Bridge(NamedTuple):
    """Sound known to lie across a seam of a moment's sounds, to check that they belong together."""

    path: str
    """A sound file."""
    start_s: float
    """Where it begins in the moment, seconds."""


@dataclass(frozen=True)
class Moment:
    """One clip that was cut by others: its pictures and its sound."""

    name: str
    """Unique in its album; letters, digits, "-" and "_"."""
    images: tuple[str, ...]
    """One image file per frame; "FILE#i" is image i of an IDX file (MNIST's format)."""
    sounds: tuple[str, ...]
    """Sound files, joined end to end; "FILE#t=S" is a file from S seconds on."""
    start_s: float = 0.0
    """Where it stood in its recording, seconds, where that is known."""
    bridges: tuple[Bridge, ...] = ()
    """Checks of the seams."""


@dataclass(frozen=True)
class Album:
    """Clips that were cut from one recording, or are of one kind, by others."""

    id: str
    """Unique and stable, as that of a recording."""
    moments: tuple[Moment, ...]
    """In order of time."""
    label: str | None = None
    """Name of the class, if there is one."""
    split: str | None = None
    """The split that was published: "train", "val" or "test"."""
    group: str = ""
    """What must never stand in two splits; "": the album."""


Source = Recording | Album


class RawClip(NamedTuple):
    """A clip as it comes from a source, before any gain."""

    name: str
    """Unique in its source; letters, digits, "-" and "_"."""
    start_s: float
    """Where it begins in its source, seconds."""
    frames: UInt8[np.ndarray, "t h w c"]
    """0 ... 255."""
    sound: Float32[np.ndarray, " n"]
    """In [-1, 1]."""


class Dropped(NamedTuple):
    """A clip that is not used."""

    name: str
    """As in `RawClip`."""
    start_s: float
    """As in `RawClip`."""
    reason: str
    """"WORD: what was measured; the rule", such as "silent: -63.2 dBFS; at least -50"."""


class Listing(NamedTuple):
    """What a folder, a CSV or a published layout holds."""

    sources: list[Source]
    """In order of their ids."""
    notes: list[str]
    """What is odd about it (orphans, counts that differ from the published ones), a line each."""

"""A folder of a prepared data set: on this machine, or anywhere that fsspec reaches (s3, gs, ...).

Files appear whole or not at all. On this machine that is a rename; an object store shows an object
only when all of it has arrived.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from soundsight.media.encode import whole_file

OPEN_FILES = 64
"""Shards kept open at once for reading."""


class Store:
    """Files of one folder, by name. Cheap to make and to send to another process."""

    def __init__(self, place: str | Path) -> None:
        """Name the folder; nothing is opened.

        Args:
            place: a path, or a URL such as "s3://bucket/folder".

        Raises:
            ValueError: if it is a URL with one slash, which would be a folder called "file:".
        """
        self.place = str(place)
        if re.match(r"[A-Za-z0-9+.-]{2,}:/(?!/)", self.place):  # One letter: a drive of Windows.
            raise ValueError(
                f"{place}: is neither a path nor a URL: give /path, or a URL with two slashes, "
                f"such as file:///path or s3://bucket/folder"
            )
        self.is_local = "://" not in self.place or self.place.startswith("file://")
        if self.is_local:
            self.place = self.place.removeprefix("file://")

    @property
    def folder(self) -> Path:
        """The folder of a local store."""
        assert self.is_local, self.place
        return Path(self.place).expanduser()

    @property
    def name(self) -> str:
        """Last part of the path or URL."""
        return self.place.rstrip("/").rsplit("/", 1)[-1]

    def path(self, name: str) -> str:
        """A file's path or URL, for people."""
        return str(self.folder / name) if self.is_local else f"{self.place.rstrip('/')}/{name}"

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        if self.is_local:
            return (self.folder / name).is_file()
        return bool(_filesystem(self.place).exists(self.path(name)))

    def names(self) -> list[str]:
        """Names of all files, sorted; empty if there is no such folder."""
        if self.is_local:
            folder = self.folder
            return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        try:
            listed = _filesystem(self.place).ls(self.place, detail=False)
        except FileNotFoundError:
            return []
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in listed)

    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises:
            OSError: if there is none.
        """
        if self.is_local:
            return (self.folder / name).stat().st_size
        with self._named(name):
            return int(_filesystem(self.place).size(self.path(name)))

    def read(self, name: str, offset: int = 0, size: int | None = None) -> bytes:
        """Some bytes of a file; fewer than asked for where it ends.

        Raises:
            OSError: naming the file, if it cannot be read.
        """
        if self.is_local:
            if size is None:
                return (self.folder / name).read_bytes()[offset:]
            path = str(self.folder / name)
            held = _descriptor(path, Path(path).stat().st_ino)  # Held: not closed meanwhile.
            return _pread(held.number, offset, size)
        end = None if size is None else offset + size
        with self._named(name):
            data: bytes = _filesystem(self.place).cat_file(self.path(name), start=offset, end=end)
        return data

    def write(self, name: str, data: bytes, *, sync: bool = True) -> None:
        """Make or replace a file.

        Args:
            name: of the file.
            data: all its bytes.
            sync: as for `file`.

        Raises:
            OSError: naming the file, if it cannot be written; an old one is left as it was.
        """
        with self.file(name, sync=sync) as part:
            part.write_bytes(data)

    @contextmanager
    def file(self, name: str, *, sync: bool = True) -> Iterator[Path]:
        """Give a place on this machine to write a file to; on leaving it becomes the store's.

        On an error nothing becomes of it.

        Args:
            name: of the file; an old one is replaced.
            sync: whether it has to survive a loss of power (a killed process it always survives).

        Raises:
            OSError: naming the file, if it cannot be written.
        """
        if self.is_local:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path, sync=sync) as part:
                yield part
            return
        with TemporaryDirectory(prefix="soundsight-") as scratch:
            part = Path(scratch) / "part"
            yield part
            with self._named(name):
                _filesystem(self.place).put_file(str(part), self.path(name))

    @contextmanager
    def _named(self, name: str) -> Iterator[None]:
        """Say of a missing file which one it is, as the system does of files of this machine."""
        try:
            yield
        except FileNotFoundError:
            told = os.strerror(errno.ENOENT)
            raise FileNotFoundError(errno.ENOENT, told, self.path(name)) from None

    def within(self, name: str) -> "Store":
        """A folder inside of this one."""
        return Store(self.folder / name if self.is_local else self.path(name))

    def upload(self, folder: Path) -> None:
        """Copy all files of a folder of this machine, folders inside of it included."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write(path.relative_to(folder).as_posix(), path.read_bytes())

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.is_local:
            (self.folder / name).unlink(missing_ok=True)
        elif self.exists(name):
            _filesystem(self.place).rm_file(self.path(name))

    def sweep(self) -> None:
        """Remove what a killed process left half-written, in folders inside, too."""
        if self.is_local:
            for path in self.folder.rglob(".*.part"):
                path.unlink(missing_ok=True)

    def delete_all(self) -> None:
        """Remove the folder with all that is in it."""
        if self.is_local:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        system = _filesystem(self.place)
        for path in system.find(self.place):  # Not `rm`, to which "[" in a name is a pattern.
            system.rm_file(path)


class _Descriptor:
    """A file open for reading, closed when nobody holds it any more."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def _pread(number: int, offset: int, size: int) -> bytes:
    """Bytes of an open file, fewer where it ends; a call of the system gives 2 GiB at most."""
    parts = []
    while size > 0:
        part = os.pread(number, size, offset)
        if not part:
            break
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)


@lru_cache(maxsize=OPEN_FILES)
def _descriptor(path: str, inode: int) -> _Descriptor:
    del inode  # Tells a file that was replaced from the one before it.
    return _Descriptor(path)


@lru_cache(maxsize=8)
def _filesystem(place: str) -> Any:
    import fsspec

    protocol = place.split("://", 1)[0]
    try:
        return fsspec.filesystem(protocol)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{place}: {error}") from None

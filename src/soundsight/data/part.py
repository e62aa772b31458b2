"""The work on one source: read, cut, measured, filtered, encoded, and kept as a part.

A part is two files of the work folder: the bytes of its clips, and a JSON document that tells what
is in them and what was dropped. The document comes last: where it is, the part is whole. What is
wrong with a source is written there too; only what is wrong with the work folder is an error.
"""

import errno
import hashlib
import io
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from soundsight.data.album import read_album
from soundsight.data.measure import measure, reason_to_drop
from soundsight.data.plan import Settings, digest
from soundsight.data.prepared import Span
from soundsight.data.source import Album, Dropped, RawClip, Recording, Source
from soundsight.data.store import Store
from soundsight.data.windows import windows
from soundsight.media.limits import MediaError
from soundsight.media.payload import encode_frames

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of our own disk, whatever file was being read."""
MAX_MEMBER_BYTES = 4 * 10**9
"""A larger member of a zip file is not taken out of it."""


class PartClip(NamedTuple):
    """A clip of a part."""

    name: str
    start_s: float
    video: Span
    """Bytes as they will stand in the shard."""
    sound: Span
    """float32 samples, little endian, before any gain."""
    digest: str
    """BLAKE2b of both, 32 hexadecimal digits."""
    measures: dict[str, Any]


class Part(NamedTuple):
    """What became of a source."""

    source: str
    """Its id."""
    state: str
    """Tells the files that it was made from: size and time of change."""
    seconds: float
    """Duration that was read."""
    peak: float
    """Highest sample of its clips, in [0, 1]."""
    power: float
    """Mean square of its clips' samples."""
    size: int
    """Bytes of the file with the clips."""
    clips: list[PartClip]
    dropped: list[Dropped]
    error: str | None
    """What is wrong with the source; what is before the damage is kept."""

    def to_bytes(self) -> bytes:
        """As JSON."""
        return json.dumps(self._asdict()).encode()

    @staticmethod
    def from_bytes(data: bytes) -> "Part":
        """The part that `to_bytes` wrote."""
        fields = json.loads(data)
        fields["clips"] = [
            PartClip(name, start_s, Span(*video), Span(*sound), digest, measures)
            for name, start_s, video, sound, digest, measures in fields["clips"]
        ]
        fields["dropped"] = [Dropped(*values) for values in fields["dropped"]]
        return Part(**fields)


def digest_of(data: bytes) -> str:
    """`PartClip.digest` of a clip's bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def bytes_name(number: int) -> str:
    """The file with the clips of source `number`."""
    return f"part-{number:07d}.bin"


def document_name(number: int) -> str:
    """The file that says what became of source `number`."""
    return f"part-{number:07d}.json"


def load_part(work: Store, number: int, source: Source | None) -> Part | None:
    """A whole part that is still true, or None.

    Args:
        work: folder of the parts.
        number: of the source.
        source: to see whether its files have changed since; None: not looked at.
    """
    try:
        part = Part.from_bytes(work.read(document_name(number)))
        if work.size(bytes_name(number)) != part.size:
            return None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return part if source is None or part.state == state_of(source) else None


def make_part(number: int, source: Source, settings: Settings, place: str) -> None:
    """Do the work on one source.

    Args:
        number: of the source; names the part.
        source: what to read.
        settings: how.
        place: folder of the parts.

    Raises:
        OSError: naming the file, if the part cannot be written.
    """
    work = Store(place)
    state = state_of(source)
    with work.file(bytes_name(number), sync=False) as path, path.open("wb") as file:
        part = _cut(source, settings, file)
    work.write(document_name(number), part._replace(state=state).to_bytes(), sync=False)


def state_of(source: Source) -> str:
    """A hash of size and time of change of all files of a source, as far as they are there."""
    if isinstance(source, Recording):
        files = [source.archive or source.path, source.sound]
    else:
        files = [f for moment in source.moments for f in (*moment.images, *moment.sounds)]
    states: list[tuple[int, int] | None] = []
    for name in files:
        try:
            stat = Path(name.split("#")[0] if name and "#" in name else name or "").stat()
            states.append((stat.st_size, stat.st_mtime_ns))
        except (OSError, ValueError):
            states.append(None)
    return digest(repr(states))


def _cut(source: Source, settings: Settings, file: BinaryIO) -> Part:
    """Write the clips of a source one after the other."""
    clips: list[PartClip] = []
    dropped: list[Dropped] = []
    peak = square = 0.0
    samples = at = 0
    reading = _read(source, settings)
    while True:
        try:
            clip = next(reading)
        except StopIteration as end:
            seconds, error = end.value
            break
        if isinstance(clip, Dropped):
            dropped.append(clip)
            continue
        peak = max(peak, float(np.abs(clip.sound).max(initial=0.0)))
        square += float(np.square(clip.sound, dtype=np.float64).sum())
        samples += len(clip.sound)
        measures = measure(clip.frames, clip.sound, settings.spec)
        reason = reason_to_drop(measures, settings.filters)
        if reason is not None:
            dropped.append(Dropped(clip.name, clip.start_s, reason))
            continue
        video, sound = _video(clip.frames, settings), _float_bytes(clip.sound)
        file.write(video)
        file.write(sound)
        spans = Span(at, len(video)), Span(at + len(video), len(sound))
        at += len(video) + len(sound)
        clips.append(
            PartClip(clip.name, clip.start_s, *spans, digest_of(video + sound), measures.to_json())
        )
    power = square / samples if samples else 0.0
    return Part(source.id, "", seconds, peak, power, at, clips, dropped, error)


def _read(
    source: Source, settings: Settings
) -> Generator[RawClip | Dropped, None, tuple[float, str | None]]:
    """Clips of a source; returns its duration and what is wrong with it."""
    read_s = [0.0]
    try:
        if isinstance(source, Album):
            for clip in read_album(source, settings.spec):
                read_s[0] += settings.spec.seconds if isinstance(clip, RawClip) else 0.0
                yield clip
        else:
            with _on_disk(source) as path:
                yield from _cut_recording(source, path, settings, read_s)
    except Exception as error:  # Whatever a stranger's file does is its own row in the report.
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        return read_s[0], _reason(source, error)
    return read_s[0], None


def _cut_recording(
    source: Recording, path: Path, settings: Settings, read_s: list[float]
) -> Iterator[RawClip]:
    """Windows of a recording; keeps in `read_s` how much of it was read, seconds.

    Raises:
        MediaError: if there is something wrong with the file, or it ends too early.
    """
    cutting = windows(
        source,
        settings.spec,
        hop_s=settings.hop_s,
        frame_at=settings.frame_at,
        path=path,
        tell=lambda seconds: read_s.__setitem__(0, seconds),
    )
    length_s, following_s = settings.spec.seconds, source.start_s
    for clip in cutting:
        following_s = clip.start_s + (settings.hop_s or length_s)
        yield clip
    if following_s == source.start_s:
        raise MediaError(
            f"{source.path}: {read_s[0]:.2f} s with picture and sound; a clip needs {length_s:g} s"
        )
    if source.end_s is not None and following_s + length_s <= source.end_s:
        raise MediaError(f"{source.path}: ends before {source.end_s:g} s")


def _reason(source: Source, error: Exception) -> str:
    """One line that says what is wrong with a source, without the path of its file."""
    text = " ".join(str(error).split())
    if isinstance(source, Album):
        text = text.removeprefix(f"{' '.join(source.id.split())}: ")
    else:
        text = text.removeprefix(f"{' '.join(source.path.split())}: ")
        if source.sound is not None:
            text = text.replace(f"{' '.join(source.sound.split())}: ", "its sound file: ")
    if isinstance(error, MediaError | OSError):
        return re.sub(r"[;:,] (or )?(give|ask for) .*$", "", text)  # Advice for other callers.
    return f"{type(error).__name__}: {text}"


@contextmanager
def _on_disk(source: Recording) -> Iterator[Path]:
    """The video's file; one in an archive is taken out of it for the time being."""
    if source.archive is None:
        yield Path(source.path)
        return
    with tempfile.TemporaryDirectory(prefix="soundsight-") as scratch:
        try:
            with zipfile.ZipFile(source.archive) as archive:
                if archive.getinfo(source.path).file_size > MAX_MEMBER_BYTES:
                    raise MediaError(f"{source.path}: larger than {MAX_MEMBER_BYTES} bytes")
                path = Path(scratch) / f"member{Path(source.path).suffix}"
                with archive.open(source.path) as member, path.open("wb") as file:
                    shutil.copyfileobj(member, file)
        except (zipfile.BadZipFile, KeyError, NotImplementedError, zlib.error) as error:
            raise MediaError(f"{source.path}: cannot be taken out of the zip: {error}") from error
        yield path


def _video(frames: UInt8[np.ndarray, "t h w c"], settings: Settings) -> bytes:
    """Pictures as they stand in a shard."""
    if settings.codec == "mp4":
        return encode_frames(frames, settings.spec.fps)
    buffer = io.BytesIO()
    np.save(buffer, frames, allow_pickle=False)
    return buffer.getvalue()


def _float_bytes(sound: Float32[np.ndarray, " n"]) -> bytes:
    return np.ascontiguousarray(sound, "<f4").tobytes()

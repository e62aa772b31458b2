"""Write clips into tar shards, whole shard by whole shard, so that the work can be taken up again.

A shard is finished when its tar file stands in the data set and its index in the work folder; the
index is written last. The bytes depend on the clips and their order alone.
"""

import hashlib
import json
import math
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from soundsight.data.part import Part, PartClip
from soundsight.data.plan import Gain, Settings, digest
from soundsight.data.prepared import SUFFIX, ClipRecord, Codec, Shard, Span
from soundsight.data.source import Source
from soundsight.data.store import Store
from soundsight.media.payload import encode_sound

BLOCK = 512
"""Of the tar format, bytes."""
PEAK_DB, RMS_DB, MOST_DB = -1.0, -23.0, 30.0
"""Where a gain puts the highest sample or the mean level, dBFS, and the largest gain, dB."""


class Finished(NamedTuple):
    """A shard that is whole."""

    shard: Shard
    lines: list[bytes]
    """Its part of the index, a line a clip."""


class Stored(NamedTuple):
    """A clip to write: its record but for the places of its bytes, and the bytes."""

    record: ClipRecord
    video: bytes
    sound: bytes


def shard_name(split: str, number: int) -> str:
    """File of a shard."""
    return f"{split}-{number:05d}.tar"


def finished(out: Store, work: Store, split: str) -> list[Finished]:
    """The shards of a split that are whole, from the first on."""
    found: list[Finished] = []
    while True:
        name = shard_name(split, len(found))
        try:
            lines = work.read(f"{name}.jsonl").splitlines()
            shard = Shard(**json.loads(lines[0]))
            if len(lines) != shard.clips + 1 or out.size(name) != shard.bytes:
                return found
        except (OSError, ValueError, TypeError, IndexError):
            return found
        found.append(Finished(shard, [line + b"\n" for line in lines[1:]]))


def final(
    part: Part, clip: PartClip, data: bytes, source: Source, group: str, settings: Settings
) -> Stored:
    """A clip of a part as it is written: the gain of its source applied to its sound.

    Args:
        part: what became of the source.
        clip: one of its clips.
        data: the clip's bytes in the part.
        source: for the record.
        group: the source's.
        settings: gain and sample rate.
    """
    gain_db = gain(part.peak, part.power, settings.gain)
    video = data[: clip.video.size]
    samples = np.frombuffer(data, "<f4", offset=clip.video.size)
    louder = np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1)
    sound = encode_sound(louder, settings.spec.sample_rate)
    record = ClipRecord(
        key=key_of(source.id, clip.name),
        source=source.id,
        group=group,
        start_s=clip.start_s,
        label=source.label,
        gain_db=gain_db,
        shard="",
        video=Span(0, 0),
        sound=Span(0, 0),
        sha256=hashlib.sha256(video + sound).hexdigest(),
        measures=clip.measures,
    )
    return Stored(record, video, sound)


def key_of(source: str, clip: str) -> str:
    """The name of a clip's members: of plain characters, unique, and told by source and start."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", source.rsplit("/", 1)[-1].rsplit(".", 1)[0])
    return f"{plain[:32].strip('_') or 'clip'}-{digest(source)[:10]}-{clip}"


def gain(peak: float, power: float, rule: Gain) -> float:
    """One gain for all clips of a source, dB.

    Args:
        peak: the source's highest sample, in [0, 1].
        power: mean square of its samples.
        rule: see `Settings.gain`.
    """
    if rule == "none" or peak == 0:
        return 0.0
    to_peak = PEAK_DB - 20 * math.log10(peak)
    wanted = to_peak if rule == "peak" else min(to_peak, RMS_DB - 10 * math.log10(power))
    return round(min(wanted, MOST_DB), 3)


def write_shard(
    clips: Iterator[Stored],
    out: Store,
    work: Store,
    split: str,
    number: int,
    codec: Codec,
    size: int,
) -> int:
    """Write one shard.

    Args:
        clips: taken from until the shard is full; whoever gives them goes on with the next shard.
        out: the data set.
        work: folder for the shard's index.
        split: name of the split.
        number: of the shard in the split, from 0.
        codec: how pictures are kept.
        size: bytes at which a shard is full.

    Returns:
        Clips written; 0 if there were none, and then no shard is made.

    Raises:
        OSError: naming the file, if it cannot be written; the shards before it stay.
    """
    first = next(clips, None)
    if first is None:
        return 0
    name, lines = shard_name(split, number), []
    with out.file(name) as path:
        with path.open("wb") as file:
            clip: Stored | None = first
            while clip is not None:
                lines.append(_write_clip(file, clip, name, codec).to_line())
                clip = next(clips, None) if file.tell() < size else None
            file.write(bytes(2 * BLOCK))
        shard = Shard(name, path.stat().st_size, _sha256(path), len(lines))
    head = json.dumps(shard._asdict()) + "\n"
    work.write(f"{name}.jsonl", (head + "".join(lines)).encode())
    return len(lines)


def _write_clip(file: IO[bytes], clip: Stored, shard: str, codec: Codec) -> ClipRecord:
    """Append the three members of a clip; the record with their places."""
    record = clip.record
    about = {
        "source": record.source,
        "group": record.group,
        "start_s": record.start_s,
        "label": record.label,
        "gain_db": record.gain_db,
        "sha256": record.sha256,
        "measures": record.measures,
    }
    _member(file, f"{record.key}.json", json.dumps(about).encode())
    video = _member(file, f"{record.key}.{SUFFIX[codec]}", clip.video)
    sound = _member(file, f"{record.key}.wav", clip.sound)
    return record._replace(shard=shard, video=video, sound=sound)


def _member(file: IO[bytes], name: str, data: bytes) -> Span:
    """Append a member to a tar file; where its bytes lie."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    span = Span(file.tell(), len(data))
    file.write(data)
    file.write(bytes(-len(data) % BLOCK))
    return span


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

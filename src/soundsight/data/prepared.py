"""The prepared data set: clips in tar shards, an index beside them, and one manifest.

```
dataset.json       what it is: version, spec, codec, labels, splits, shards with their SHA-256
train-00000.tar    KEY.json, KEY.mp4 (or KEY.npy) and KEY.wav of every clip, in order
train.jsonl        one line a clip: where its bytes lie, source, start, label, checksum, measures
report.html        what was kept, what was dropped, and why; report.json for programs
```
Any clip is one read away, through the index; and a shard is an ordinary tar file, which other
programs stream front to back (`tarfile`, `webdataset`). Nothing in it is ever unpickled.

`Prepared` reads the format; `PreparedData` is the same as a part of a recipe.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from soundsight.data.store import Store
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.payload import decode_frames, decode_sound

VERSION = 1
"""Of the format; a reader refuses any other."""
MANIFEST = "dataset.json"
WORK = ".prepare"
"""Folder for unfinished work, in the data set's own; gone at the end."""
SPLITS = ("train", "val", "test")
Codec = Literal["mp4", "raw"]
"""How pictures are kept: visually lossless H.264 in mp4, or the bytes themselves in npy."""
SUFFIX: Mapping[str, str] = {"mp4": "mp4", "raw": "npy"}


class Span(NamedTuple):
    """Where bytes lie in a shard."""

    offset: int
    size: int


class ClipRecord(NamedTuple):
    """One line of the index."""

    key: str
    """Unique in the data set; the name of the clip's members in the shard."""
    source: str
    """Id of what it was cut from."""
    group: str
    """What must not stand in two splits: a speaker, a player; often the source."""
    start_s: float
    """Where it begins in its source, seconds."""
    label: str | None
    """Name of its class, if there is one."""
    gain_db: float
    """By how much its sound was made louder, as that of all clips of its source."""
    shard: str
    """Name of the tar file."""
    video: Span
    sound: Span
    sha256: str
    """Of the bytes of its pictures and then of its sound, hexadecimal."""
    measures: dict[str, Any]
    """What was measured of it: `soundsight.data.measure.Measures`."""

    def to_line(self) -> str:
        """The record as a line of JSON."""
        return json.dumps(self._asdict(), ensure_ascii=True) + "\n"

    @staticmethod
    def from_line(line: str | bytes) -> "ClipRecord":
        """The record that `to_line` wrote."""
        fields = json.loads(line)
        fields["video"], fields["sound"] = Span(*fields["video"]), Span(*fields["sound"])
        return ClipRecord(**fields)


class Shard(NamedTuple):
    """One tar file of a split."""

    name: str
    bytes: int
    sha256: str
    clips: int


@plain_dataclass(frozen=True)
class Manifest:
    """What `dataset.json` says."""

    version: int
    spec: ClipSpec
    codec: Codec
    labels: list[str]
    """Names of the classes, in the order of their numbers; empty without labels."""
    split_rule: str
    """How clips came to their splits: "source", "clip" (leaks), "published"."""
    splits: dict[str, list[Shard]]
    settings: dict[str, Any]
    """All that it was prepared with."""
    sources: dict[str, Any]
    """How many there were, and a hash of their ids."""

    def to_bytes(self) -> bytes:
        """The manifest as JSON, with its own name first."""
        values = TypeAdapter(Manifest).dump_python(self, mode="json")
        values["splits"] = {
            split: {
                "clips": sum(shard.clips for shard in shards),
                "shards": [shard._asdict() for shard in shards],
            }
            for split, shards in self.splits.items()
        }
        return (json.dumps({"format": "soundsight-clips"} | values, indent=1) + "\n").encode()


class Prepared:
    """A prepared data set, open for reading. Cheap to send to another process."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        """Made by `open_prepared`."""
        self.store = store
        self.manifest = manifest
        self.spec = manifest.spec
        self.codec = manifest.codec
        self.labels = manifest.labels

    @cached_property
    def splits(self) -> dict[str, list[ClipRecord]]:
        """The index of every split that has clips."""
        return {split: self._index(split) for split in self.manifest.splits}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "splits"}

    def read(
        self, record: ClipRecord
    ) -> tuple[UInt8[np.ndarray, "t h w c"], Float32[np.ndarray, " n"]]:
        """One clip: frames in 0 ... 255 and sound in [-1, 1].

        Raises:
            ValueError: naming clip and shard, if its bytes are damaged.
            OSError: if the shard cannot be read.
        """
        start = min(record.video.offset, record.sound.offset)
        end = max(sum(record.video), sum(record.sound))
        data = self.store.read(record.shard, start, end - start)
        video, sound = (
            data[span.offset - start : span.offset - start + span.size]
            for span in (record.video, record.sound)
        )
        try:
            frames, (wave, _) = self._frames(video), decode_sound(sound)
        except ValueError as error:
            raise ValueError(f"{self._where(record)} is damaged: {error}") from None
        s = self.spec
        if len(frames) != s.frames or len(wave) != s.samples:
            raise ValueError(
                f"{self._where(record)} is damaged: {len(frames)} frames and {len(wave)} samples, "
                f"not {s.frames} and {s.samples}"
            )
        return frames, wave

    def damage(self) -> Iterator[tuple[str, str]]:
        """What is damaged: pairs of the name of a shard or a clip, and what is wrong with it.

        Every byte is read and compared with the checksums.
        """
        for split, shards in self.manifest.splits.items():
            by_shard: dict[str, list[ClipRecord]] = {shard.name: [] for shard in shards}
            try:
                for record in self.splits[split]:
                    by_shard.setdefault(record.shard, []).append(record)
            except (OSError, ValueError) as error:
                yield f"{split}.jsonl", str(error)
            for shard in shards:
                yield from self._damage_of(shard, by_shard[shard.name])

    def _damage_of(self, shard: Shard, records: list[ClipRecord]) -> Iterator[tuple[str, str]]:
        """Of one shard: the shard's own line, then those of its clips."""
        try:
            data = self.store.read(shard.name, 0, shard.bytes + 1)
        except OSError as error:
            yield shard.name, f"cannot be read: {error}"
            return
        if len(records) != shard.clips:
            yield shard.name, f"has {len(records)} clips in the index, {shard.clips} in {MANIFEST}"
        if hashlib.sha256(data).hexdigest() == shard.sha256:
            return
        size = self.store.size(shard.name)
        yield shard.name, f"checksum differs ({size} bytes; written with {shard.bytes})"
        for record in records:
            parts = (data[s.offset : s.offset + s.size] for s in (record.video, record.sound))
            if hashlib.sha256(b"".join(parts)).hexdigest() != record.sha256:
                yield record.key, f"checksum differs, in {shard.name}"

    def _index(self, split: str) -> list[ClipRecord]:
        name = f"{split}.jsonl"
        lines = self.store.read(name).splitlines()
        clips = sum(shard.clips for shard in self.manifest.splits[split])
        try:
            records = [ClipRecord.from_line(line) for line in lines]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self.store.path(name)}: damaged index: {error}; prepare it again"
            ) from None
        if len(records) != clips:
            raise ValueError(
                f"{self.store.path(name)}: damaged index: {len(records)} clips, {MANIFEST} tells "
                f"{clips}; prepare it again"
            )
        return records

    def _frames(self, data: bytes) -> UInt8[np.ndarray, "t h w c"]:
        s = self.spec
        if self.codec == "mp4":
            return decode_frames(data, channels=s.channels)
        shape = (s.frames, s.size, s.size, s.channels)
        pixels = int(np.prod(shape))
        if len(data) < pixels or data[:6] != b"\x93NUMPY":
            raise ValueError(f"{len(data)} bytes are no array of {shape}")
        return np.frombuffer(data, np.uint8, pixels, offset=len(data) - pixels).reshape(shape)

    def _where(self, record: ClipRecord) -> str:
        return f"{self.store.path(record.shard)}: clip {record.key}"


def is_prepared(place: str) -> bool:
    """Whether a folder or URL holds a prepared data set."""
    return Store(place).exists(MANIFEST)


def open_prepared(place: str) -> Prepared:
    """Open a prepared data set.

    Args:
        place: its folder, or a URL that fsspec knows.

    Raises:
        ValueError: if there is none, or it is of another version.
        OSError: if it cannot be read.
    """
    store = Store(place)
    if not store.exists(MANIFEST):
        raise ValueError(
            f"{place}: no prepared data set (no {MANIFEST}); make one with soundsight prepare"
        )
    where = store.path(MANIFEST)
    try:
        values = json.loads(store.read(MANIFEST))
        if not isinstance(values, dict) or values.pop("format", None) != "soundsight-clips":
            raise ValueError("not the manifest of a prepared data set")
        if values.get("version") != VERSION:
            raise ValueError(f"version {values.get('version')} of the format; this reads {VERSION}")
        values["splits"] = {k: part["shards"] for k, part in values["splits"].items()}
        manifest = TypeAdapter(Manifest).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: damaged: {field}: {first['msg']}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{where}: {error}") from None
    return Prepared(store, manifest)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PreparedData:
    """A data set that `soundsight prepare` has made."""

    path: str
    """Its folder, or a URL that fsspec knows (s3, gs, ...)."""
    kind: Literal["prepared"] = "prepared"
    """Tells this data set from others in a recipe."""

    def build(self, spec: ClipSpec, split: str) -> "PreparedDataset":
        """Open one split.

        Args:
            spec: rates, size and channels as prepared; `frames` at most as many. Fewer give several
                clips of each prepared one, one after the other.
            split: "train", "val" or "test".

        Raises:
            ValueError: if there is no such data set or split, or it was prepared at another spec.
            OSError: if it cannot be read.
        """
        if split not in SPLITS:
            raise ValueError(f"split={split!r} must be one of {', '.join(SPLITS)}")
        prepared = open_prepared(self.path)
        check_spec(self.path, prepared.spec, spec)
        if not prepared.splits.get(split):
            have = {name: len(records) for name, records in prepared.splits.items()}
            raise ValueError(f"{self.path}: split {split!r} is empty; clips by split: {have}")
        return PreparedDataset(prepared, spec, split)


def check_spec(place: str, have: ClipSpec, want: ClipSpec) -> None:
    """Raise a ValueError unless clips of one spec can be cut out of clips of the other."""
    names = ("fps", "size", "channels", "sample_rate")
    differing = [n for n in names if getattr(have, n) != getattr(want, n)]
    if want.frames > have.frames:
        differing.append("frames")
    if differing:
        fields = "; ".join(f"{n}={getattr(have, n)} not {getattr(want, n)}" for n in differing)
        flags = " ".join(
            f"--spec.{n.replace('_', '-')} {getattr(want, n)}" for n in ("frames", *names)
        )
        raise ValueError(
            f"{place}: prepared with other clips: {fields}; prepare it again with {flags}, or give "
            f"the recipe the data's: --clip.{differing[0].replace('_', '-')} "
            f"{getattr(have, differing[0])}"
        )


class PreparedDataset:
    """The clips of one split; made by `PreparedData.build`."""

    def __init__(self, prepared: Prepared, spec: ClipSpec, split: str) -> None:
        """Hold a split.

        Args:
            prepared: the data set.
            spec: as the data set's, of at most as many frames.
            split: one that has clips.
        """
        self.prepared = prepared
        self.spec = spec
        self.split = split
        self.per_record = prepared.spec.frames // spec.frames

    @cached_property
    def records(self) -> list[ClipRecord]:
        """The index; record i gives clips [i, i + 1) * `per_record`."""
        return self.prepared.splits[self.split]

    @cached_property
    def labels(self) -> Int64[np.ndarray, " i"] | None:
        """Class of every clip, -1 for one without; None if the data set has no classes."""
        if not self.prepared.labels:
            return None
        number: dict[str | None, int] = {name: i for i, name in enumerate(self.prepared.labels)}
        classes = [number.get(record.label, -1) for record in self.records]
        return np.repeat(np.array(classes, np.int64), self.per_record)

    def __len__(self) -> int:
        return len(self.records) * self.per_record

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("records", "labels")}

    def clips(self, indices: Sequence[int]) -> Clip:
        """The clips with these indices, in this order, as one batch on the CPU.

        Raises:
            IndexError: if an index is not in [0, len).
            ValueError: naming the clip, if one is damaged.
        """
        s, frames, sounds = self.spec, [], []
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"index {index} is not in [0, {len(self)})")
            record, window = divmod(index, self.per_record)
            video, wave = self.prepared.read(self.records[record])
            frames.append(video[window * s.frames : (window + 1) * s.frames])
            sounds.append(wave[window * s.samples : (window + 1) * s.samples])
        pixels = torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3)
        labels = None if self.labels is None else torch.from_numpy(self.labels[list(indices)])
        return Clip(
            s,
            video=pixels.contiguous().float().div_(255),
            audio=torch.from_numpy(np.stack(sounds)),
            label=labels,
        )


assert set(get_args(Codec)) == set(SUFFIX)

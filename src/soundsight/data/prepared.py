"""The prepared data set: clips in tar shards, an index beside them, and one manifest.

```
dataset.json       what it is: version, spec, codec, labels, splits; SHA-256 of shards and index
train-00000.tar    KEY.json, KEY.mp4 (or KEY.npy) and KEY.wav of every clip, in order
train.jsonl        one line a clip: where its bytes lie, source, start, label, checksum, measures
report.html        what was kept, what was dropped, and why; report.json for programs
```
Any clip is one read away, through the index; and a shard is an ordinary tar file, which other
programs stream front to back (`tarfile`, `webdataset`). Nothing in it is ever unpickled.

`Prepared` reads the format; `PreparedData` is the same as a part of a recipe.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from soundsight.data.record import ClipRecord as ClipRecord
from soundsight.data.record import Span as Span
from soundsight.data.record import is_name
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
CHUNK = 1 << 23
"""Bytes of a shard that are held at once when it is read from front to back."""


class Shard(NamedTuple):
    """One tar file of a split."""

    name: str
    bytes: int
    sha256: str
    clips: int


class IndexFile(NamedTuple):
    """The index of a split, as it was written."""

    bytes: int
    sha256: str

    @staticmethod
    def of(store: Store, split: str) -> "IndexFile":
        """As it is now.

        Raises:
            OSError: if it cannot be read.
        """
        data = store.read(f"{split}.jsonl")
        return IndexFile(len(data), hashlib.sha256(data).hexdigest())


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
    index: dict[str, IndexFile]
    """Of every split."""
    settings: dict[str, Any]
    """All that it was prepared with."""
    sources: dict[str, Any]
    """How many there were, and a hash of their ids."""

    def to_bytes(self) -> bytes:
        """The manifest as JSON, with its own name first and the checksum of all the rest last."""
        values = TypeAdapter(Manifest).dump_python(self, mode="json")
        values["splits"] = {
            split: {
                "clips": sum(shard.clips for shard in shards),
                "shards": [shard._asdict() for shard in shards],
            }
            for split, shards in self.splits.items()
        }
        values["index"] = {split: file._asdict() for split, file in self.index.items()}
        values = {"format": "soundsight-clips"} | values
        return (json.dumps(values | {"sha256": _seal(values)}, indent=1) + "\n").encode()


def _seal(values: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's fields, but for the one that holds it: as JSON in one form."""
    rest = {name: value for name, value in values.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Prepared:
    """A prepared data set, open for reading. Cheap to send to another process."""

    def __init__(self, store: Store, manifest: Manifest) -> None:
        """Made by `open_prepared`."""
        self.store = store
        self.manifest = manifest
        self.spec = manifest.spec
        self.codec = manifest.codec
        self.labels = manifest.labels
        self._indices: dict[str, list[ClipRecord]] = {}

    @property
    def splits(self) -> dict[str, list[ClipRecord]]:
        """The index of every split."""
        return {split: self.index(split) for split in self.manifest.splits}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_indices": {}}

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

    def index(self, split: str) -> list[ClipRecord]:
        """The clips of one split, in order; read once.

        Raises:
            ValueError: naming the line, if the index is damaged.
            OSError: if it cannot be read.
        """
        if split in self._indices:
            return self._indices[split]
        name = f"{split}.jsonl"
        where = f"{self.store.path(name)}: damaged index"
        sizes = {shard.name: shard.bytes for shard in self.manifest.splits[split]}
        records = []
        for number, line in enumerate(self.store.read(name).splitlines(), 1):
            try:
                record = ClipRecord.from_line(line)
                if record.shard not in sizes:
                    raise ValueError(f"shard={record.shard!r} is not in {MANIFEST}")
                if max(sum(record.video), sum(record.sound)) > sizes[record.shard]:
                    raise ValueError(f"its bytes lie behind the end of {record.shard}")
            except ValueError as error:
                raise ValueError(f"{where}: line {number}: {error}; prepare it again") from None
            records.append(record)
        clips = sum(shard.clips for shard in self.manifest.splits[split])
        if len(records) != clips:
            told = f"{len(records)} clips, but {clips} in {MANIFEST}"
            raise ValueError(f"{where}: {told}; prepare it again")
        self._indices[split] = records
        return records

    def damage(self, *, shards: bool = True) -> Iterator[tuple[str, str]]:
        """What is damaged: pairs of the name of a file or a clip, and what is wrong with it.

        Args:
            shards: whether every byte of the shards is read and compared with the checksums, and
                what they tell of each clip with the index; if not, manifest and index alone are.

        Raises:
            ValueError: if the manifest is no JSON any more.
            OSError: if the manifest cannot be read.
        """
        values = json.loads(self.store.read(MANIFEST))
        if values.get("sha256") != _seal(values):
            yield MANIFEST, "checksum differs: edited or damaged since it was written"
        for split, parts in self.manifest.splits.items():
            name, whole, known = f"{split}.jsonl", False, True
            clips: dict[str, list[ClipRecord]] = {shard.name: [] for shard in parts}
            try:
                for record in self.index(split):
                    clips[record.shard].append(record)
                whole = IndexFile.of(self.store, split) == self.manifest.index.get(split)
            except (OSError, ValueError) as error:
                known = False
                yield name, str(error)
            if known and not whole:
                yield name, "checksum differs: edited or damaged since it was written"
            for shard in parts if shards else ():
                yield from self._damage_of(shard, clips[shard.name] if known else None, whole)

    def _damage_of(
        self, shard: Shard, records: list[ClipRecord] | None, indexed: bool
    ) -> Iterator[tuple[str, str]]:
        """Of one shard: the shard's own line, then those of its clips, if the index is known."""
        try:
            stream = _Hashed(self.store, shard.name)
            found = _members(stream)
        except OSError as error:
            yield shard.name, f"cannot be read: {error}"
            return
        whole = stream.hash.hexdigest() == shard.sha256
        if not whole:
            yield shard.name, f"checksum differs ({stream.size} bytes; written with {shard.bytes})"
        if records is not None and len(records) != shard.clips:
            told = f"{len(records)} in the index, {shard.clips} in {MANIFEST}"
            yield shard.name, f"differs in its number of clips: {told}"
        for record in records or ():
            what = self._differs(record, found)
            if what is not None and (whole or f"{record.key}.json" in found):
                yield record.key, what
            elif not (whole and indexed) and self._digest(record) != record.sha256:
                yield record.key, f"checksum differs, in {shard.name}"

    def _differs(self, record: ClipRecord, found: Mapping[str, Any]) -> str | None:
        """How the index differs from what a shard tells of a clip, by names of members."""
        about = found.get(f"{record.key}.json")
        spans = [found.get(f"{record.key}.{end}") for end in (SUFFIX[self.codec], "wav")]
        if not isinstance(about, dict):
            return f"has no {record.key}.json in {record.shard}"
        names = [name for name, value in record.about().items() if about.get(name) != value]
        if spans != [record.video, record.sound]:
            names.append("place")
        if not names:
            return None
        return f"{', '.join(names)}: not the same in the index and in {record.shard}"

    def _digest(self, record: ClipRecord) -> str:
        """SHA-256 of a clip's bytes as they are."""
        spans = (record.video, record.sound)
        data = b"".join(self.store.read(record.shard, *span) for span in spans)
        return hashlib.sha256(data).hexdigest()

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


class _Hashed(io.RawIOBase):
    """A file of a store, read from front to back, with the SHA-256 of what was read."""

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name, self.size = store, name, store.size(name)
        self.hash, self.place = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = min(len(buffer), self.size - self.place)  # An object store refuses more.
        data = self.store.read(self.name, self.place, size) if size else b""
        self.hash.update(data)
        self.place += len(data)
        buffer[: len(data)] = data
        return len(data)


def _members(file: _Hashed) -> dict[str, Any]:
    """What a shard holds, up to where it is no tar file: JSON as such, of all else the place.

    The file is read to its end in any case.
    """
    found: dict[str, Any] = {}
    buffered = io.BufferedReader(file, CHUNK)
    try:
        with tarfile.open(fileobj=buffered, mode="r|", bufsize=min(1 << 16, CHUNK)) as tar:
            for member in tar:
                found[member.name] = Span(member.offset_data, member.size)
                if member.name.endswith(".json"):
                    data = tar.extractfile(member)
                    found[member.name] = None if data is None else _json_or_none(data.read())
    except (tarfile.TarError, ValueError):
        pass  # Damaged; the checksums tell.
    while buffered.read(CHUNK):
        pass
    return found


def _json_or_none(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def is_prepared(place: str) -> bool:
    """Whether a folder or URL holds a prepared data set."""
    return Store(place).exists(MANIFEST)


def is_unfinished(place: str) -> bool:
    """Whether a folder or URL holds work of a preparation that did not come to its end."""
    return not is_prepared(place) and bool(Store(place).within(WORK).names())


def open_prepared(place: str) -> Prepared:
    """Open a prepared data set.

    Args:
        place: its folder, or a URL that fsspec knows.

    Raises:
        ValueError: if there is none, or it is unfinished, damaged, or of another version.
        OSError: if it cannot be read.
    """
    store = Store(place)
    if is_unfinished(place):
        raise ValueError(f"{place}: preparation is unfinished: give the prepare command again")
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
        values.pop("sha256", None)
        values["splits"] = {k: part["shards"] for k, part in values["splits"].items()}
        manifest = TypeAdapter(Manifest).validate_python(values)
        for split, shards in manifest.splits.items():
            if split not in SPLITS or not all(is_name(shard.name) for shard in shards):
                raise ValueError(f"damaged: split {split!r} or the names of its shards cannot be")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: damaged: {field}: {first['msg']}") from None
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{where}: damaged: its splits are not told as they should be") from None
    except ValueError as error:
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

    @cached_property
    def sources(self) -> Int64[np.ndarray, " i"]:
        """Number of what each record was cut from, in order of first appearance in the split."""
        of: dict[str, int] = {}
        return np.array([of.setdefault(r.source, len(of)) for r in self.records], np.int64)

    def __len__(self) -> int:
        return len(self.records) * self.per_record

    def __getstate__(self) -> dict[str, Any]:
        read = ("records", "labels", "sources")
        return {name: value for name, value in self.__dict__.items() if name not in read}

    def clips(self, indices: Sequence[int]) -> Clip:
        """The clips with these indices, in this order, as one batch on the CPU.

        Raises:
            IndexError: if an index is not in [0, len).
            ValueError: naming the clip, if one is damaged.
        """
        s, frames, sounds, sources, starts = self.spec, [], [], [], []
        for index in indices:
            if not 0 <= index < len(self):
                raise IndexError(f"index {index} is not in [0, {len(self)})")
            record, window = divmod(index, self.per_record)
            video, wave = self.prepared.read(self.records[record])
            frames.append(video[window * s.frames : (window + 1) * s.frames])
            sounds.append(wave[window * s.samples : (window + 1) * s.samples])
            sources.append(int(self.sources[record]))
            starts.append(self.records[record].start_s + window * s.seconds)
        pixels = torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3)
        labels = None if self.labels is None else torch.from_numpy(self.labels[list(indices)])
        return Clip(
            s,
            video=pixels.contiguous().float().div_(255),
            audio=torch.from_numpy(np.stack(sounds)),
            label=labels,
            source=torch.tensor(sources, dtype=torch.int64),
            start=torch.tensor(starts, dtype=torch.float64),
        )


assert set(get_args(Codec)) == set(SUFFIX)

"""The format: what other programs read of it, what is said of damage, and batches for training."""

import gc
import hashlib
import io
import json
import pickle
import shutil
import tarfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from tests.data.films import SPEC, write_film

from soundsight.cli import main
from soundsight.data import prepared
from soundsight.data.check import check
from soundsight.data.folder import VideoFolder
from soundsight.data.listing import list_sources
from soundsight.data.measure import Measures
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import prepare
from soundsight.data.prepared import (
    MANIFEST,
    WORK,
    ClipRecord,
    PreparedData,
    Span,
    check_spec,
    is_prepared,
    open_prepared,
)
from soundsight.data.store import Store
from soundsight.media.clip import ClipSpec
from soundsight.recipes import load, read


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Labelled films, a second per clip, in both codecs."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = ["path,label"]
    for i in range(6):
        write_film(folder / "films" / f"{i}.mp4", 3.0, seed=i)
        rows.append(f"{i}.mp4,{'cat' if i % 2 else 'ant'}")
    (folder / "films" / "list.csv").write_text("\n".join(rows))
    for codec in ("mp4", "raw"):
        listing = list_sources([folder / "films" / "list.csv"])
        settings = Settings(spec=SPEC, codec=codec, shard_mb=0.03)
        prepare(Plan(settings, listing.sources), str(folder / codec))
    return folder


@pytest.fixture(params=["mp4", "raw"])
def place(request, made) -> str:
    return str(made / request.param)


def test_any_program_that_reads_tar_reads_it(place):
    """Pictures and sound come back through other decoders, at the places that the index tells."""
    data = open_prepared(place)
    for split, records in data.splits.items():
        members: dict[str, bytes] = {}
        for shard in sorted(Path(place).glob(f"{split}-*.tar")):
            with tarfile.open(shard) as tar:
                for member in tar:
                    assert (member.mtime, member.uid, member.isfile()) == (0, 0, True)
                    members[member.name] = tar.extractfile(member).read()
        assert len(members) == 3 * len(records)
        for record in records:
            frames, wave = data.read(record)
            if data.codec == "raw":
                array = np.load(io.BytesIO(members[f"{record.key}.npy"]), allow_pickle=False)
            else:
                with av.open(io.BytesIO(members[f"{record.key}.mp4"])) as film:
                    array = np.stack([f.to_ndarray(format="rgb24") for f in film.decode(video=0)])
            np.testing.assert_allclose(array, frames, atol=1)
            sound = np.frombuffer(members[f"{record.key}.wav"][44:], "<i2") / 32768
            np.testing.assert_allclose(sound, wave, atol=1e-6)
            about = json.loads(members[f"{record.key}.json"])
            assert about["label"] == record.label
            assert about["sha256"] == record.sha256
            raw = (Path(place) / record.shard).read_bytes()
            video = raw[record.video.offset : sum(record.video)]
            assert video == members[f"{record.key}.{'npy' if data.codec == 'raw' else 'mp4'}"]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # It leaves its files to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_streams_it(place):
    webdataset = pytest.importorskip("webdataset")
    shards = sorted(map(str, Path(place).glob("train-*.tar")))
    assert len(shards) > 1
    keys = [sample["__key__"] for sample in webdataset.WebDataset(shards, shardshuffle=False)]
    gc.collect()  # Here, where its warnings are expected.
    assert keys == [record.key for record in open_prepared(place).splits["train"]]


def test_batches(place):
    dataset = PreparedData(path=place).build(SPEC, "train")
    clip = dataset.clips([3, 0, 3])
    assert clip.video.shape == (3, 5, 3, 16, 16)
    assert clip.audio.shape == (3, 4000)
    assert torch.equal(clip.video[0], clip.video[2])
    assert float(clip.video.min()) >= 0
    assert float(clip.video.max()) <= 1
    assert clip.label.tolist() == [dataset.labels[i] for i in (3, 0, 3)]
    names = [open_prepared(place).labels[i] for i in clip.label]
    assert names == [dataset.records[i].label for i in (3, 0, 3)]
    for index in (-1, len(dataset)):
        with pytest.raises(IndexError, match=str(index)):
            dataset.clips([index])


def test_shorter_clips_are_parts_of_the_prepared_ones(place):
    whole = PreparedData(path=place).build(SPEC, "train")
    short = PreparedData(path=place).build(SPEC.with_frames(2), "train")
    assert len(short) == 2 * len(whole)
    assert len(short.labels) == len(short)
    long, parts = whole.clips([4]), short.clips([8, 9])
    assert torch.equal(parts.video.flatten(0, 1), long.video[0, :4])
    assert torch.equal(parts.audio.flatten(), long.audio[0, :3200])


def test_clips_tell_their_recording_and_their_place_in_it(place):
    """Films of three seconds give three clips of one second, and these two of 0.4 s each."""
    whole = PreparedData(path=place).build(SPEC, "train")
    clip = whole.clips(range(len(whole)))
    names = [record.source for record in whole.records]
    assert clip.source.tolist() == [list(dict.fromkeys(names)).index(name) for name in names]
    assert len(set(names)) > 1
    assert clip.start.tolist() == [record.start_s for record in whole.records]
    assert set(clip.start.tolist()) == {0.0, 1.0, 2.0}
    assert clip.start.dtype == torch.float64
    short = PreparedData(path=place).build(SPEC.with_frames(2), "train").clips([8, 9, 0])
    assert short.source.tolist() == [int(clip.source[4]), int(clip.source[4]), 0]
    begin = float(clip.start[4])
    assert short.start.tolist() == pytest.approx([begin, begin + 0.4, float(clip.start[0])])


def test_other_processes_get_it_without_the_index(place):
    dataset = PreparedData(path=place).build(SPEC, "train")
    dataset.clips([0])
    sent = pickle.dumps(dataset)
    assert len(sent) < 5000
    assert torch.equal(pickle.loads(sent).clips([1]).audio, dataset.clips([1]).audio)


def test_another_spec_is_told(place):
    for wanted, said in (
        (ClipSpec(frames=5, fps=5.0, size=32, channels=3, sample_rate=4000), "size=16 not 32"),
        (SPEC.with_frames(6), "frames=5 not 6"),
        (ClipSpec(frames=4, fps=4.0, size=16, channels=1, sample_rate=4000), "fps=5.0 not 4.0"),
    ):
        with pytest.raises(ValueError, match=f"{said}.*prepare it again with --spec.frames"):
            PreparedData(path=place).build(wanted, "train")
    check_spec("x", SPEC, SPEC.with_frames(1))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda p: (p / "dataset.json").write_text("{"), "dataset.json"),
        (lambda p: (p / "dataset.json").write_text("{}"), "not the manifest"),
        (lambda p: (p / "dataset.json").unlink(), "no prepared data set"),
        (lambda p: change_splits(p, []), "dataset.json: damaged: its splits"),
        (lambda p: change_splits(p, {"train": {"clips": 1}}), "dataset.json: damaged: its splits"),
        (lambda p: change_splits(p, {"../x": {"shards": []}}), "damaged: split '../x'"),
        (
            lambda p: (p / "dataset.json").write_text(
                (p / "dataset.json").read_text().replace('"version": 1', '"version": 9')
            ),
            "version 9 of the format; this reads 1",
        ),
        (lambda p: (p / "train.jsonl").write_text("{}\n"), "train.jsonl: damaged index"),
        (lambda p: cut(p / "train.jsonl", -300), "train.jsonl: damaged index"),
        (lambda p: drop_line(p / "train.jsonl"), "train.jsonl: damaged index: .* clips"),
    ],
)
def test_damage_of_the_index_is_told(place, tmp_path, damage, said):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    damage(copy)
    with pytest.raises(ValueError, match=said):
        PreparedData(path=str(copy)).build(SPEC, "train")


def change_splits(folder: Path, splits) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"splits": splits}))


def cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def drop_line(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def test_damage_of_shards_is_found_and_named(place, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(place, copy)
    data = open_prepared(str(copy))
    first, last = data.splits["train"][0], data.splits["train"][-1]
    assert first.shard != last.shard
    cut(copy / last.shard, last.video.offset + 20)
    raw = bytearray((copy / first.shard).read_bytes())
    raw[first.sound.offset + 100] ^= 1
    (copy / first.shard).write_bytes(bytes(raw))
    found = dict(open_prepared(str(copy)).damage())
    assert "checksum differs" in found[first.shard]
    assert "checksum differs" in found[last.shard]
    assert {first.key, last.key} <= set(found)
    with pytest.raises(ValueError, match=f"clip {last.key} is damaged"):
        data.read(last)
    (copy / first.shard).unlink()
    found = dict(open_prepared(str(copy)).damage())
    assert "cannot be read" in found[first.shard]


def test_unknown_or_empty_splits(place, tmp_path):
    with pytest.raises(ValueError, match="split='dev' must be one of train, val, test"):
        PreparedData(path=place).build(SPEC, "dev")
    write_film(tmp_path / "films" / "a.mp4", 2.0)
    listing = list_sources([tmp_path / "films"])
    prepare(Plan(Settings(spec=SPEC), listing.sources), str(tmp_path / "set"))
    with pytest.raises(ValueError, match=r"split 'test' is empty; clips by split: \{'train': 2"):
        PreparedData(path=str(tmp_path / "set")).build(SPEC, "test")


def test_record_is_a_line():
    measures = Measures(-20.0, 0.5, 0.0, None, 0.0, "0" * 32, "f" * 64).to_json()
    record = ClipRecord(
        "k", "a\nb\udcff", "g", 1.5, None, 0.0, "s", Span(1, 2), Span(3, 4), "0", measures
    )
    assert record.to_line().count("\n") == 1
    assert ClipRecord.from_line(record.to_line()) == record


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("video", [-1, 4]),
        ("video", [0, 4, 4]),
        ("sound", [0.0, 4]),
        ("sound", 7),
        ("sound", [0, 10**9]),
        ("shard", "../elsewhere.tar"),
        ("shard", "train-00099.tar"),
        ("key", "../x"),
        ("source", 3),
        ("start_s", "0"),
        ("start_s", float("nan")),
        ("start_s", 10**400),
        ("gain_db", True),
        ("label", ["cat"]),
        ("measures", {}),
        ("measures", {"picture_hash": "zz"}),
        ("measures", {"rms_db": None}),
        ("more", 1),
    ],
)
def test_a_line_that_cannot_be_is_told_with_its_number(place, tmp_path, field, value):
    copy = Path(shutil.copytree(place, tmp_path / "copy"))

    def change(record: dict) -> None:
        record[field] = record[field] | value if value and field == "measures" else value

    change_line(copy, "train", 1, change)
    with pytest.raises(ValueError, match=r"train.jsonl: damaged index: line 2: .*prepare it again"):
        PreparedData(path=str(copy)).build(SPEC, "train")
    assert "damaged index: line 2" in dict(open_prepared(str(copy)).damage())["train.jsonl"]


def change_line(folder: Path, split: str, number: int, change) -> None:
    path = folder / f"{split}.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[number])
    change(record)
    lines[number] = json.dumps(record)
    path.write_text("\n".join(lines) + "\n")


def other(value):
    """Another value of the same kind."""
    if isinstance(value, dict):
        return value | {"rms_db": -1.5}
    return value + 0.25 if isinstance(value, float) else f"{value}x"


@pytest.mark.parametrize(
    "field", ["source", "group", "start_s", "label", "gain_db", "sha256", "measures"]
)
def test_an_edited_index_is_found_and_the_clip_named(place, tmp_path, field):
    copy = Path(shutil.copytree(place, tmp_path / "copy"))
    clean = open_prepared(str(copy))
    assert list(clean.damage()) == []
    key = clean.splits["train"][1].key
    change_line(copy, "train", 1, lambda record: record.update({field: other(record[field])}))
    found = dict(open_prepared(str(copy)).damage())
    assert found.keys() == {"train.jsonl", key}
    assert "checksum differs" in found["train.jsonl"]
    assert found[key].startswith(f"{field}: not the same in the index and in train-0000")
    assert list(dict(open_prepared(str(copy)).damage(shards=False))) == ["train.jsonl"]


def test_exchanged_places_are_found(place, tmp_path):
    """The bytes of a clip of the same class in another one's stead."""
    copy = Path(shutil.copytree(place, tmp_path / "copy"))
    first, second = open_prepared(str(copy)).splits["train"][:2]
    stolen = {"video": second.video, "sound": second.sound, "shard": second.shard}
    change_line(copy, "train", 0, lambda record: record.update(stolen))
    assert first.key in dict(open_prepared(str(copy)).damage())


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ["ant", "dog"]},
        {"split_rule": "clip"},
        {"settings": {}},
        {"sha256": "0"},
        {"added": 1},
    ],
)
def test_an_edited_manifest_is_found(place, tmp_path, change):
    copy = Path(shutil.copytree(place, tmp_path / "copy"))
    path = copy / MANIFEST
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values, indent=7))  # The form is of no matter.
    assert list(open_prepared(str(copy)).damage()) == []
    path.write_text(json.dumps(values | change))
    found = list(open_prepared(str(copy)).damage())
    assert [name for name, _ in found] == [MANIFEST]


def test_the_manifest_tells_the_index_and_itself(place):
    values = json.loads((Path(place) / MANIFEST).read_text())
    for split in ("train", "val", "test"):
        data = (Path(place) / f"{split}.jsonl").read_bytes()
        told = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        assert values["index"][split] == told
    assert list(values)[-1] == "sha256"
    seal = values.pop("sha256")
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    assert seal == hashlib.sha256(text.encode()).hexdigest()


def test_shards_are_read_in_pieces(place, monkeypatch):
    """However large a shard is, little of it is held."""
    most, read = 20_000, Store.read

    def told(store, name, offset=0, size=None):
        assert not name.endswith(".tar") or size <= most
        return read(store, name, offset, size)

    monkeypatch.setattr(prepared, "CHUNK", most)
    monkeypatch.setattr(Store, "read", told)
    data = open_prepared(place)
    assert max(s.bytes for shards in data.manifest.splits.values() for s in shards) > most
    assert list(data.damage()) == []


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_an_unfinished_preparation_is_told(tmp_path, where):
    place = str(tmp_path / "set") if where == "disk" else "memory://unfinished"
    Store(place).within(WORK).write("plan.json", b"{}")
    try:
        assert not is_prepared(place)
        for look in (open_prepared, check):
            with pytest.raises(ValueError, match="is unfinished: give the prepare command again"):
                look(place)
        if where == "disk":
            write_film(tmp_path / "set" / "report" / "player.mp4", 2.0)
            with pytest.raises(ValueError, match="is unfinished: give the prepare command again"):
                VideoFolder(path=place).build(SPEC, "train")
    finally:
        if where == "memory":
            Store(place).delete_all()


def test_a_recipe_for_folders_trains_on_it(made, tmp_path):
    """`--data` takes prepared data as it takes a folder of videos."""
    films, out, run = str(made / "films"), str(tmp_path / "set"), tmp_path / "run"
    recipe = "sound2sight_folder_laptop"
    assert main(["prepare", films, out, "--recipe", recipe, "--workers", "0"]) == 0
    assert is_prepared(out)
    spec = load(recipe).clip
    assert open_prepared(out).spec == spec
    words = ["--data", out, "--out", str(run), "--train.steps", "1", "--train.batch-size", "2"]
    assert main(["train", recipe, *words]) == 0
    assert read(run / "recipe.json").data == PreparedData(path=out)
    assert main(["sample", str(run), "--out", str(tmp_path / "samples"), "--count", "1"]) == 0

"""The format: what other programs read of it, what is said of damage, and batches for training."""

import gc
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
from soundsight.data.listing import list_sources
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import prepare
from soundsight.data.prepared import (
    ClipRecord,
    PreparedData,
    Span,
    check_spec,
    is_prepared,
    open_prepared,
)
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
    record = ClipRecord(
        "k", "a\nb\udcff", "g", 1.5, None, 0.0, "s", Span(1, 2), Span(3, 4), "0", {"motion": None}
    )
    assert record.to_line().count("\n") == 1
    assert ClipRecord.from_line(record.to_line()) == record


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

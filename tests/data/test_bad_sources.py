"""Files as strangers have them: a bad one is a row of the report, and the rest is prepared."""

import errno
import io
import os
import re
import struct
import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from tests.data.films import SPEC, write_film
from tests.media.conftest import click_time, flash_time, write_movie

from soundsight.data import part as part_module
from soundsight.data.listing import list_sources
from soundsight.data.measure import Filters
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import open_prepared
from soundsight.data.source import Recording
from soundsight.media.clip import ClipSpec

NO_FILTERS = Filters(silence_db=None, static=None, cut=None, clipped=None, duplicates=False)


def run(sources: Path | list[Recording], out: Path, spec: ClipSpec = SPEC, **changes) -> dict:
    listing = list_sources([sources]).sources if isinstance(sources, Path) else sources
    settings = Settings(**{"spec": spec, "filters": NO_FILTERS} | changes)
    return prepare(Plan(settings, listing), str(out), engine=Engine(workers=0))


def reasons(summary: dict) -> dict[str, str]:
    return {row["source"]: row["reason"] for row in summary["sources"]["bad"]}


def truncated(path: Path) -> Path:
    """Half of a file that can be read from its beginning."""
    data = write_film(path.with_name("whole.mp4"), 8.0, seed=1).read_bytes()
    path.with_name("whole.mp4").unlink()
    path.write_bytes(data[: len(data) // 2])
    return path


def huge(path: Path) -> Path:
    """A Matroska file whose header tells of 10^9 seconds."""
    data = write_movie(path.with_suffix(".mkv")).read_bytes()
    path.with_suffix(".mkv").unlink()
    at = data.find(b"\x44\x89\x88") + 3  # The element "duration", milliseconds.
    path.write_bytes(data[:at] + struct.pack(">d", 1e12) + data[at + 8 :])
    return path


def wide(path: Path) -> Path:
    """A PNG stream that tells of 2^16 by 2^16 pixels, in a name that is looked for."""
    codec = av.CodecContext.create("png", "w")
    codec.width = codec.height = 4
    codec.pix_fmt, codec.time_base = "rgb24", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.zeros((4, 4, 3), np.uint8), "rgb24")
    data = b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode(None)])
    path.write_bytes(data[:16] + struct.pack(">II", 65536, 65536) + data[24:])
    return path


def text(path: Path) -> Path:
    path.write_text("this is no film\n" * 50)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def gone(path: Path) -> Path:
    path.symlink_to(path.with_name("nowhere"))
    return path


BAD = {
    "empty": (empty, r"is empty \(0 bytes\)"),
    "text": (text, "is no readable media file"),
    "truncated": (truncated, "no readable media file|truncated"),
    "no_sound": (lambda p: write_movie(p, sound=False), "has picture but no sound"),
    "no_picture": (lambda p: write_movie(p, picture=False), "has sound but no picture"),
    "one_frame": (lambda p: write_movie(p, times=[0.0], sound_seconds=0.04), "ends at 0.040 s"),
    "short": (
        lambda p: write_movie(p, seconds=0.6),
        r"0\.60 s with picture and sound; a clip needs 1 s",
    ),
    "gone": (gone, "no such file"),
    "huge": (huge, "at most 14400 s"),
    "wide": (wide, "pixels are allowed|no readable media file|no sound"),
}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Path, dict]:
    """Every bad file among two good ones, prepared."""
    folder = tmp_path_factory.mktemp("mixed") / "films"
    write_film(folder / "good.mp4", 3.0, seed=5)
    write_film(folder / "zgood.mp4", 2.0, seed=6)
    for name, (make, _) in BAD.items():
        make(folder / f"{name}.mp4")
    return folder, run(folder, folder.parent / "set")


@pytest.mark.parametrize("name", list(BAD))
def test_each_bad_file_is_a_row_that_says_why(mixed, name):
    said = reasons(mixed[1])[f"{name}.mp4"]
    assert re.search(BAD[name][1], said)
    assert "\n" not in said
    assert str(mixed[0]) not in said


def test_the_rest_is_prepared(mixed):
    folder, summary = mixed
    assert set(reasons(summary)) == {f"{name}.mp4" for name in BAD}
    data = open_prepared(str(folder.parent / "set"))
    kept = [r.source for split in data.splits.values() for r in split]
    assert sorted(set(kept)) == ["good.mp4", "truncated.mp4", "zgood.mp4"]
    assert (kept.count("good.mp4"), kept.count("zgood.mp4")) == (3, 2)


def test_what_is_before_the_damage_is_kept(tmp_path):
    """In a container that can be read from its beginning."""
    data = write_movie(tmp_path / "w.ts", seconds=8.0, fps=10).read_bytes()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "cut.ts").write_bytes(data[: len(data) // 2])
    flv = write_movie(tmp_path / "w.mkv", seconds=8.0, fps=10).read_bytes()
    (tmp_path / "films" / "cut.mkv").write_bytes(flv[: len(flv) // 2])
    summary = run(tmp_path / "films", tmp_path / "set")
    kept = [r.source for s in open_prepared(str(tmp_path / "set")).splits.values() for r in s]
    assert kept.count("cut.mkv") >= 2
    assert kept.count("cut.ts") >= 2
    assert "clips before that are kept" in reasons(summary)["cut.mkv"]


def test_unreadable_file(tmp_path):
    folder = tmp_path / "films"
    write_film(folder / "a.mp4", 2.0)
    locked = write_film(folder / "b.mp4", 2.0, seed=1)
    locked.chmod(0)
    if os.access(locked, os.R_OK):  # Root reads all.
        locked.unlink()
        os.mkfifo(locked)  # As unreadable, to everyone.
    assert list(reasons(run(folder, tmp_path / "set"))) == ["b.mp4"]


def test_nothing_usable_is_one_line(tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    text(folder / "a.mp4")
    with pytest.raises(ValueError, match=r"no clip could be used: 1 sources unreadable \(a\.mp4"):
        run(folder, tmp_path / "set")
    write_film(folder / "a.mp4", 2.0)
    assert run(folder, tmp_path / "set", codec="raw")["clips"]["kept"] == 2


ODD = {
    "vfr": {"times": [0.0, 0.1, 0.15, 0.6, 0.61, 1.0, 1.2, 1.21, 1.8, 2.2, 2.9], "seconds": 3.0},
    "rotated": {"rotation": 90, "seconds": 3.0},
    "5.1": {"layout": "5.1", "seconds": 3.0},
    "8khz": {"rate": 8000, "seconds": 3.0},
    "odd_size": {"width": 66, "height": 34, "seconds": 3.0},
    "late_sound": {"sound_offset_s": 0.48, "sound_seconds": 2.52, "seconds": 3.0},
    "late_picture": {"picture_offset_s": 0.4, "seconds": 2.6, "sound_seconds": 3.0},
}


@pytest.mark.parametrize("name", list(ODD))
def test_odd_files_are_prepared_in_step(tmp_path, name):
    """The flash and the click at 1 s of the file are at 1 s of the clip."""
    folder = tmp_path / "films"
    folder.mkdir()
    options = dict(ODD[name])
    write_movie(folder / "a.mp4", **options)
    spec = ClipSpec(frames=50, fps=25.0, size=16, channels=3, sample_rate=8000)
    run(folder, tmp_path / "set", spec, codec="raw", fractions=(0.0, 0.0))
    data = open_prepared(str(tmp_path / "set"))
    (record,) = data.splits["train"]
    video, wave = data.read(record)
    pictures = video.transpose(0, 3, 1, 2) / 255
    slack = 0.21 if name == "vfr" else 0.041
    assert flash_time(pictures, 25) == pytest.approx(1.0, abs=slack)
    assert click_time(wave, 8000) == pytest.approx(1.0, abs=0.002)


def test_missing_time_stamps(tmp_path):
    """An elementary stream has none; its pictures follow each other at its rate."""
    folder = tmp_path / "films"
    folder.mkdir()
    write_movie(folder / "a.mpg", seconds=3.0, codecs=("mpeg1video", "mp2"), rate=44100)
    spec = ClipSpec(frames=25, fps=25.0, size=16, channels=3, sample_rate=8000)
    summary = run(folder, tmp_path / "set", spec, fractions=(0.0, 0.0))
    assert summary["clips"]["kept"] >= 2


def test_names_with_any_characters(tmp_path):
    folder = tmp_path / "films"
    names = [
        "new\nline.mp4",
        "ümlaut 音.mp4",
        os.fsdecode(b"raw\xff.mp4"),
        "-dash.mp4",
        "a'b\".mp4",
    ]
    for seed, name in enumerate(names):
        write_film(folder / name, 2.0, seed=seed)
    run(folder, tmp_path / "set")
    data = open_prepared(str(tmp_path / "set"))
    records = [r for split in data.splits.values() for r in split]
    assert sorted({r.source for r in records}) == sorted(names)
    assert len({r.key for r in records}) == len(records) == 2 * len(names)
    assert all(r.key.isascii() and "." not in r.key and "/" not in r.key for r in records)


def test_files_of_one_name_in_two_folders(tmp_path):
    write_film(tmp_path / "films" / "x" / "a.mp4", 2.0, seed=1)
    write_film(tmp_path / "films" / "y" / "a.mp4", 2.0, seed=2)
    run(tmp_path / "films", tmp_path / "set", fractions=(0.0, 0.0))
    records = open_prepared(str(tmp_path / "set")).splits["train"]
    assert [r.source for r in records] == ["x/a.mp4"] * 2 + ["y/a.mp4"] * 2
    assert len({r.key for r in records}) == 4


def test_segments_beyond_the_end(tmp_path):
    write_film(tmp_path / "a.mp4", 3.0)
    table = tmp_path / "list.csv"
    table.write_text("path,start,end\na.mp4,0,2\na.mp4,1,30\na.mp4,20,22\n")
    listing = list_sources([table])
    settings = Settings(spec=SPEC, filters=NO_FILTERS)
    plan = Plan(settings, listing.sources)
    summary = prepare(plan, str(tmp_path / "set"), engine=Engine(workers=0))
    assert summary["clips"]["kept"] == 2 + 2
    said = reasons(summary)
    assert "20" in said["a.mp4@20-22"]
    assert "30" in said["a.mp4@1-30"]
    assert "clips before that are kept" in said["a.mp4@1-30"]


def test_zip_members(tmp_path):
    film = write_film(tmp_path / "a.mp4", 2.0)
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(film, "train/1.mp4")
        out.writestr("train/2.mp4", b"no film")
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr("train/3.mp4", film.read_bytes())
    data = bytearray(archive.read_bytes())
    at = data.find(film.read_bytes()[:64], data.find(b"train/3.mp4"))
    data[at + 500] ^= 255  # Its checksum does not hold any more.
    archive.write_bytes(bytes(data))
    sources = [
        Recording(id=f"{n}", path=f"train/{n}.mp4", archive=str(archive)) for n in (1, 2, 3, 4)
    ]
    summary = run(sources, tmp_path / "out", fractions=(0.0, 0.0))
    assert summary["clips"]["kept"] == 2
    said = reasons(summary)
    assert "no readable media file" in said["2"]
    assert "cannot be taken out of the zip" in said["3"]
    assert "cannot be taken out of the zip" in said["4"]


def test_a_bug_of_a_decoder_is_a_row_a_full_disk_is_not(tmp_path, monkeypatch):
    write_film(tmp_path / "films" / "a.mp4", 2.0, seed=1)
    write_film(tmp_path / "films" / "b.mp4", 2.0, seed=2)
    true = part_module.windows

    def breaks(recording, *args, **kwargs):
        if recording.id == "a.mp4":
            raise ZeroDivisionError("deep inside")
        yield from true(recording, *args, **kwargs)

    monkeypatch.setattr(part_module, "windows", breaks)
    summary = run(tmp_path / "films", tmp_path / "set")
    assert reasons(summary) == {"a.mp4": "ZeroDivisionError: deep inside"}

    def full(recording, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device", "x")
        yield

    monkeypatch.setattr(part_module, "windows", full)
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "films", tmp_path / "other")


def test_one_letter_of_a_tar_is_enough(tmp_path):
    """Damage is found, named, and does not hide what is whole."""
    write_film(tmp_path / "films" / "a.mp4", 4.0, seed=1)
    run(tmp_path / "films", tmp_path / "set", fractions=(0.0, 0.0))
    data = open_prepared(str(tmp_path / "set"))
    assert list(data.damage()) == []
    record = data.splits["train"][2]
    shard = tmp_path / "set" / record.shard
    with io.FileIO(shard, "r+") as file:
        file.seek(record.video.offset + 40)
        file.write(b"\xaa")
    found = dict(open_prepared(str(tmp_path / "set")).damage())
    assert set(found) == {record.shard, record.key}
    assert "checksum differs" in found[record.key]

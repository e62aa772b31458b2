"""Prepare real files: what comes out, and that it comes out the same however it was made."""

import contextlib
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tests.data.films import SPEC, write_film, write_films

from soundsight.cli import main
from soundsight.data import prepare as module
from soundsight.data.listing import list_sources
from soundsight.data.measure import Filters
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import PreparedData, open_prepared
from soundsight.data.store import Store
from soundsight.media.io import decode_all

ARGUMENTS = [
    "--spec.frames", "5", "--spec.fps", "5", "--spec.size", "16", "--spec.sample-rate", "4000",
    "--shard-mb", "0.02",
]  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"), 6)


def plan_of(folder: Path, **changes) -> Plan:
    settings = Settings(**{"spec": SPEC, "shard_mb": 0.02} | changes)
    return Plan(settings, *list_sources([folder]))


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def expected(films, tmp_path_factory) -> dict[str, str]:
    """Every file of the data set, made without interruption in one process."""
    out = tmp_path_factory.mktemp("expected") / "set"
    prepare(plan_of(films), str(out), engine=Engine(workers=0))
    return digests(out)


def test_clips_are_what_the_files_hold(films, tmp_path):
    summary = prepare(plan_of(films), str(tmp_path / "set"), engine=Engine(workers=0))
    data = open_prepared(str(tmp_path / "set"))
    records = [r for split in data.splits.values() for r in split]
    assert len(records) == summary["clips"]["kept"] == 2 * (2 + 3 + 4)
    for record in records:
        frames, sound = decode_all(films / record.source, SPEC)
        at = round(record.start_s * SPEC.fps)
        video, wave = data.read(record)
        error = video.astype(float) - frames[at : at + 5]
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 35
        start = at * SPEC.samples_per_frame
        np.testing.assert_allclose(wave, sound[start : start + SPEC.samples], atol=1 / 32767)


def test_raw_pictures_are_exact(films, tmp_path):
    prepare(plan_of(films, codec="raw"), str(tmp_path / "set"), engine=Engine(workers=0))
    data = open_prepared(str(tmp_path / "set"))
    for record in data.splits["train"]:
        frames, _ = decode_all(films / record.source, SPEC)
        at = round(record.start_s * SPEC.fps)
        np.testing.assert_array_equal(data.read(record)[0], frames[at : at + 5])


def test_gain_is_one_for_a_source(films, tmp_path):
    prepare(plan_of(films, gain="peak"), str(tmp_path / "set"), engine=Engine(workers=0))
    data = open_prepared(str(tmp_path / "set"))
    by_source: dict[str, list] = {}
    for record in itertools.chain(*data.splits.values()):
        by_source.setdefault(record.source, []).append(record)
    for name, records in by_source.items():
        (gain_db,) = {record.gain_db for record in records}
        _, sound = decode_all(films / name, SPEC)
        waves = [data.read(record)[1] for record in records]
        assert max(np.abs(w).max() for w in waves) == pytest.approx(10 ** (-1 / 20), abs=1e-3)
        for record, wave in zip(records, waves, strict=True):
            start = round(record.start_s * SPEC.sample_rate)
            quiet = sound[start : start + SPEC.samples]
            np.testing.assert_allclose(wave, quiet * 10 ** (gain_db / 20), atol=1e-4)


@pytest.mark.slow
def test_same_bytes_whatever_the_number_of_processes(films, tmp_path, expected):
    out = tmp_path / "set"
    prepare(plan_of(films), str(out), engine=Engine(workers=3))
    assert digests(out) == expected


def test_same_clips_in_an_object_store(films, expected):
    system = fsspec.filesystem("memory")
    prepare(plan_of(films), "memory://bucket/set", engine=Engine(workers=0))
    made = {p.removeprefix("/bucket/set/"): system.cat_file(p) for p in system.find("/bucket/set")}
    assert {n: hashlib.sha256(data).hexdigest() for n, data in made.items()} == expected
    dataset = PreparedData(path="memory://bucket/set").build(SPEC, "train")
    assert dataset.clips([0]).video.shape == (1, 5, 3, 16, 16)
    system.store.clear()


def test_interrupted_anywhere_it_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    """Stopped before or after one of the files that it makes, and started again."""
    whole = Store.file

    class Stop(BaseException):
        """Not an Exception: as sudden as an interruption."""

    def stops(at: int, late: bool):
        made = itertools.count()

        @contextlib.contextmanager
        def file(self, name, *, sync=True):
            here = next(made) == at
            if here and not late:
                raise Stop
            with whole(self, name, sync=sync) as path:
                yield path
            if here:
                raise Stop

        return file

    few = write_films(tmp_path / "films", 3)
    prepare(plan_of(few), str(tmp_path / "whole" / "set"), engine=Engine(workers=0))
    number = len(digests(tmp_path / "whole" / "set")) + 2 * 3 + 2  # With the files of the work.
    for at in range(0, number, 3):
        out = tmp_path / f"{at}" / "set"
        monkeypatch.setattr(Store, "file", stops(at, late=at % 2 == 1))
        with contextlib.suppress(Stop):
            prepare(plan_of(few), str(out), engine=Engine(workers=0))
        monkeypatch.setattr(Store, "file", whole)
        prepare(plan_of(few), str(out), engine=Engine(workers=0))
        assert digests(out) == digests(tmp_path / "whole" / "set"), f"stopped at file {at}"


def command(films: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "soundsight", "prepare", str(films), str(out), *ARGUMENTS, *more,
    ]  # fmt: skip


def wait_for(folder: Path, pattern: str, number: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while len(list(folder.glob(pattern))) < number:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_killed_it_goes_on_to_the_same_bytes(films, tmp_path, expected, how):
    out = tmp_path / "set"
    for pattern, number in ((".prepare/part-*.json", 2), ("train-*.tar", 1)):
        process = subprocess.Popen(command(films, out, "--workers", "2"), stderr=subprocess.PIPE)
        wait_for(out, pattern, number, process)
        process.send_signal(how)
        _, said = process.communicate(timeout=60)
        if how == signal.SIGINT:
            assert process.returncode == 130
            assert b"Traceback" not in said
        assert not (out / "dataset.json").exists()
    for folder in (out, out / ".prepare"):
        (folder / f".{'0' * 32}.part").write_bytes(b"half a file")  # As if killed while writing.
    done = subprocess.run(command(films, out, "--json"), capture_output=True, check=True)
    assert json.loads(done.stdout)["clips"]["kept"] == 18
    assert {n: h for n, h in digests(out).items() if not n.startswith("report.")} == {
        n: h for n, h in expected.items() if not n.startswith("report.")
    }  # The reports differ in the command that they tell.


@pytest.mark.slow
def test_disk_full_in_mid_shard_loses_nothing(films, tmp_path, expected):
    out = tmp_path / "small" / "set"
    out.parent.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=420k", "tmpfs", str(out.parent)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small disk needs root")
    try:
        full = subprocess.run(command(films, out), capture_output=True, text=True)
        assert full.returncode == 2
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
        assert not list(out.rglob("*.part"))
        before = {p.name: p.stat().st_mtime_ns for p in out.glob(".prepare/part-*.json")}
        assert before
        subprocess.run(["mount", "-o", "remount,size=50m", str(out.parent)], check=True)
        subprocess.run(command(films, out), capture_output=True, check=True)
        kept = {n: h for n, h in digests(out).items() if not n.startswith("report.")}
        assert kept == {n: h for n, h in expected.items() if not n.startswith("report.")}
    finally:
        subprocess.run(["umount", str(out.parent)], check=True)


def test_a_file_that_cannot_grow_is_told_in_one_line(films, tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "from soundsight.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    words = command(films, tmp_path / "set", "--workers", "0")[3:]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr


def test_done_is_done(films, tmp_path):
    out = tmp_path / "set"
    first = prepare(plan_of(films), str(out), engine=Engine(workers=0), command="c")
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert prepare(plan_of(films), str(out), engine=Engine(workers=0), command="c") == first
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_a_folder_of_another_plan_is_left_alone(films, tmp_path, monkeypatch):
    out = tmp_path / "set"
    prepare(plan_of(films), str(out), engine=Engine(workers=0))
    before = digests(out)
    with pytest.raises(ValueError, match=r"was prepared otherwise: codec='mp4' not 'raw'"):
        prepare(plan_of(films, codec="raw"), str(out), engine=Engine(workers=0))
    more = write_films(tmp_path / "more", 2)
    with pytest.raises(ValueError, match=r"other sources \(6 not 2\)"):
        prepare(plan_of(more), str(out), engine=Engine(workers=0))
    assert digests(out) == before

    half = tmp_path / "half"
    monkeypatch.setattr(module, "decide", None)
    with pytest.raises(TypeError):
        prepare(plan_of(films), str(half), engine=Engine(workers=0))
    with pytest.raises(ValueError, match=r"was begun otherwise: gain='none' not 'peak'"):
        prepare(plan_of(films, gain="peak"), str(half), engine=Engine(workers=0))

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"holds 'thesis\.tex' and is no prepared data set"):
        prepare(plan_of(films), str(other), engine=Engine(workers=0))


def test_two_at_once_on_one_folder(films, tmp_path):
    out = tmp_path / "set"
    process = subprocess.Popen(command(films, out, "--workers", "1"), stderr=subprocess.DEVNULL)
    try:
        wait_for(out, ".prepare/lock", 1, process)
        with pytest.raises(ValueError, match="is being prepared by another process"):
            prepare(plan_of(films), str(out), engine=Engine(workers=0))
    finally:
        process.kill()
        process.wait()


def test_a_source_that_changed_is_read_again(films, tmp_path, monkeypatch):
    folder = write_films(tmp_path / "films", 3)
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(module, "decide", None)
        with pytest.raises(TypeError):
            prepare(plan_of(folder), str(out), engine=Engine(workers=0))
    write_film(folder / "b.mp4", 5.0, seed=9)
    summary = prepare(plan_of(folder), str(out), engine=Engine(workers=0))
    assert summary["clips"]["kept"] == 2 + 5 + 4


def test_damaged_part_is_read_again(films, tmp_path, monkeypatch, expected):
    """As after a loss of power: the size is right, the bytes are not."""
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(module, "decide", None)
        with pytest.raises(TypeError):
            prepare(plan_of(films), str(out), engine=Engine(workers=0))
    part = out / ".prepare" / "part-0000003.bin"
    part.write_bytes(bytes(part.stat().st_size))
    prepare(plan_of(films), str(out), engine=Engine(workers=0))
    assert digests(out) == expected


def test_lost_shard_is_made_again(films, tmp_path, monkeypatch, expected):
    """Its parts are gone by then, so their sources are read again."""
    out = tmp_path / "set"
    with monkeypatch.context() as patch:
        patch.setattr(module, "write_report", None)
        with pytest.raises(TypeError):
            prepare(plan_of(films), str(out), engine=Engine(workers=0))
    assert not (out / ".prepare" / "part-0000000.bin").exists()
    (out / "train-00000.tar").unlink()
    prepare(plan_of(films), str(out), engine=Engine(workers=0))
    assert digests(out) == expected


def test_duplicates_are_dropped_and_told(films, tmp_path):
    folder = write_films(tmp_path / "films", 4)
    write_film(folder / "zz" / "copy.mp4", 3.0, seed=1)  # As b.mp4.
    settings = {"filters": Filters()}
    summary = prepare(plan_of(folder, **settings), str(tmp_path / "set"), engine=Engine(workers=0))
    assert summary["clips"]["dropped"] == {"duplicate": 3}
    assert {row["source"] for row in summary["dropped"]} == {"zz/copy.mp4"}
    assert "b.mp4" in summary["dropped"][0]["reason"]


def test_from_the_command_line(films, tmp_path, capsys):
    out = str(tmp_path / "set")
    assert main(["prepare", str(films), out, *ARGUMENTS, "--workers", "0", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["clips"]["kept"] == 18
    assert "kept 18 clips" in captured.err
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert "--workers" not in report["command"]
    assert "--spec.size 16" in report["command"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare"], "needs a source and OUT"),
        (["prepare", "only"], "needs a source and OUT"),
        (["prepare", "no", "out"], "no such file or folder"),
        (["prepare", "a", "b", "--recipe", "sound2sight_m3so_tin"], "sound2sight_m3so_tiny"),
        (["prepare", "a", "b", "--spec.fps", "7"], "no multiple of fps=7"),
        (["prepare", "a", "b", "--codec", "jpg"], "codec"),
        (["prepare", "a", "b", "--workers", "-1"], "workers=-1"),
        (["prepare", "a", "b", "--layout", "gird"], "grid"),
        (["check"], "data"),
        (["check", "nowhere"], "nowhere"),
    ],
)
def test_wrong_requests_are_told_in_one_line(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_same_bytes_on_a_ray_cluster(films, tmp_path, expected):
    pytest.importorskip("ray")
    out = tmp_path / "set"
    done = subprocess.run(command(films, out, "--ray"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = {n: h for n, h in digests(out).items() if not n.startswith("report.")}
    assert kept == {n: h for n, h in expected.items() if not n.startswith("report.")}

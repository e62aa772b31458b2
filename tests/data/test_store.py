"""The same folder, whether on disk or in an object store."""

import os
from pathlib import Path

import fsspec
import pytest

from soundsight.data.store import Store

OPEN = Path("/proc/self/fd")


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    if request.param == "disk":
        yield Store(tmp_path / "set")
    else:
        yield Store(f"memory://{request.node.name}")
        fsspec.filesystem("memory").store.clear()


def test_files_come_back(store):
    assert store.names() == []
    assert not store.exists("a")
    store.write("a", b"0123456789")
    store.write("b", b"x")
    assert store.names() == ["a", "b"]
    assert store.read("a") == b"0123456789"
    assert store.read("a", 2, 3) == b"234"
    assert store.read("a", 8, 5) == b"89"  # It ends there.
    assert store.size("a") == 10
    store.write("a", b"new")
    assert store.read("a", 0, 9) == b"new"
    store.delete("a")
    store.delete("a")
    assert store.names() == ["b"]


def test_a_file_appears_only_when_it_is_whole(store):
    store.write("a", b"old")
    with pytest.raises(RuntimeError), store.file("a") as path:  # noqa: PT012
        path.write_bytes(b"half")
        assert store.read("a") == b"old"
        raise RuntimeError
    assert store.read("a") == b"old"
    assert store.names() == ["a"]
    with store.file("a") as path:
        path.write_bytes(b"whole")
    assert store.read("a") == b"whole"


def test_folders_inside(store, tmp_path):
    inside = store.within("work")
    inside.write("x", b"1")
    assert inside.read("x") == b"1"
    (tmp_path / "made" / "sub").mkdir(parents=True)
    (tmp_path / "made" / "sub" / "f").write_bytes(b"2")
    (tmp_path / "made" / "g").write_bytes(b"3")
    store.upload(tmp_path / "made")
    assert store.read("g") == b"3"
    assert store.within("sub").read("f") == b"2"
    inside.delete_all()
    assert inside.names() == []
    assert store.read("g") == b"3"


def test_missing_files_are_os_errors(store):
    for read in (
        lambda: store.read("no"),
        lambda: store.read("no", 0, 3),
        lambda: store.size("no"),
    ):
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*/no'"):
            read()


def test_a_call_of_the_system_may_give_less(tmp_path, monkeypatch):
    """As it does from 2 GiB on."""
    store, call = Store(tmp_path), os.pread
    store.write("a", bytes(range(100)))
    monkeypatch.setattr(os, "pread", lambda file, size, at: call(file, min(size, 7), at))
    assert store.read("a", 3, 50) == bytes(range(3, 53))
    assert store.read("a", 90, 50) == bytes(range(90, 100))


@pytest.mark.parametrize("place", ["file:/x/y", "s3:/bucket/x", "memory:/x"])
def test_a_url_with_one_slash_is_refused(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{place}: is neither a path nor a URL"):
        Store(place)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["a:b/c", "/x/file:/y", "c:/x", "file:///x", "memory://x"])
def test_other_places_are_taken(place):
    assert Store(place).place == place.removeprefix("file://")


def test_many_shards_do_not_hold_many_files_open(tmp_path):
    store = Store(tmp_path)
    for i in range(200):
        store.write(str(i), bytes([i]))
    before = len(list(OPEN.iterdir())) if OPEN.is_dir() else 0
    for _ in range(2):
        assert [store.read(str(i), 0, 1)[0] for i in range(200)] == list(range(200))
    if before:
        assert len(list(OPEN.iterdir())) - before < 100


def test_unknown_protocol_is_told():
    with pytest.raises(ValueError, match="nonsense://x"):
        Store("nonsense://x").exists("a")

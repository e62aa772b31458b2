"""Pools of handwritten digits and MNIST's files."""

import functools
import gzip
import hashlib
import http.server
import struct
import threading

import numpy as np
import pytest
from sklearn import datasets

from soundsight.data import digits
from soundsight.data.digits import SHA256, SPLITS, fetch_mnist, load_digits

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.fixture(autouse=True)
def fresh():
    yield
    load_digits.cache_clear()


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def folder(tmp_path):
    """A little MNIST of 12 training and 5 test images, half of its files gzipped."""
    for prefix, number in (("train", 12), ("t10k", 5)):
        images = np.arange(number)[:, None, None] * np.ones((28, 28)) * 10
        classes = np.arange(number) % 10
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(classes)))
    return tmp_path


# scikit-learn's digits.


def test_the_splits_divide_all_1797_digits():
    pools = {split: load_digits("sklearn", split, 28) for split in SPLITS}
    assert sum(len(pool.images) for pool in pools.values()) == 1797
    flat = np.concatenate([pool.images.reshape(-1, 784) for pool in pools.values()])
    assert len(np.unique(flat, axis=0)) == 1797  # So no image is in two of them.


@pytest.mark.parametrize(("split", "share"), [("train", 0.8), ("val", 0.1), ("test", 0.1)])
def test_every_class_gives_its_share_to_every_split(split, share):
    everyone = np.bincount(datasets.load_digits().target)
    here = np.bincount(load_digits("sklearn", split, 8).classes, minlength=10)
    assert np.abs(here - share * everyone).max() <= 1


@pytest.mark.parametrize("size", [8, 14, 28, 41])
def test_digits_fill_any_size_with_ink_on_an_empty_ground(size):
    images, classes = load_digits("sklearn", "train", size)
    assert images.shape == (len(classes), size, size)
    assert images.dtype == np.uint8
    share = images.mean() / 255
    assert 0.1 < share < 0.2  # MNIST: 0.131.
    assert (images.max((1, 2)) > 170).all()
    weights = images.mean(0)
    centre = (weights.sum(0) * np.arange(size)).sum() / weights.sum()
    assert abs(centre - (size - 1) / 2) < 0.05 * size


@pytest.mark.parametrize("size", [10, 28])
def test_enlarged_digits_are_still_the_digits_of_their_class(size):
    train, test = (load_digits("sklearn", split, size) for split in ("train", "test"))
    a = train.images.reshape(len(train.images), -1).astype(np.float32)
    b = test.images.reshape(len(test.images), -1).astype(np.float32)
    distance = (a**2).sum(1) - 2 * b @ a.T
    accuracy = (train.classes[distance.argmin(1)] == test.classes).mean()
    assert accuracy > 0.93


def test_results_are_kept_and_cannot_be_spoilt():
    first = load_digits("sklearn", "val", 28)
    assert load_digits("sklearn", "val", 28) is first
    with pytest.raises(ValueError, match="read-only"):
        first.images[0] = 0


def test_released_pool_is_train_everywhere():
    train = load_digits("sklearn", "train", 14)
    released = load_digits("sklearn", "test", 14, pool="released")
    np.testing.assert_array_equal(released.images, train.images)


def test_too_small_a_size_is_named():
    with pytest.raises(ValueError, match="digit=3 px is too small"):
        load_digits("sklearn", "train", 3)


# MNIST's files.


def test_plain_and_gzipped_files_are_read(folder):
    images, classes = load_digits("mnist", "train", 28, folder=folder)
    assert images.shape == (12, 28, 28)
    assert images[:, 3, 4].tolist() == [10 * i for i in range(12)]
    assert classes.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert load_digits("mnist", "test", 28, folder=folder).images.shape == (5, 28, 28)
    released = load_digits("mnist", "test", 28, folder=folder, pool="released")
    assert released.images.shape == (12, 28, 28)


def test_val_is_what_follows_the_first_55000(folder):
    with pytest.raises(ValueError, match="no digits for split 'val'"):
        load_digits("mnist", "val", 28, folder=folder)


def test_mnist_needs_a_folder():
    with pytest.raises(ValueError, match="digits='mnist' needs the folder of its four files"):
        load_digits("mnist", "train", 28)


def test_resizing_keeps_flat_images_flat(folder):
    images, _ = load_digits("mnist", "train", 14, folder=folder)
    assert images.shape == (12, 14, 14)
    assert (images == images[:, :1, :1]).all()
    assert images[:, 0, 0].tolist() == [10 * i for i in range(12)]


def break_missing(folder):
    (folder / IMAGES).unlink()


def break_magic(folder):
    (folder / IMAGES).write_bytes(b"\x89PNG" + bytes(100))


def break_kind(folder):
    (folder / IMAGES).write_bytes(idx(np.zeros(12)))


def break_short(folder):
    (folder / IMAGES).write_bytes((folder / IMAGES).read_bytes()[:-1])


def break_header(folder):
    (folder / IMAGES).write_bytes(b"\0\0\x08\x03\0\0")


def break_long(folder):
    (folder / IMAGES).write_bytes((folder / IMAGES).read_bytes() + b"\0")


def break_gzip(folder):
    path = folder / f"{LABELS}.gz"
    path.write_bytes(path.read_bytes()[:-9])


def break_count(folder):
    (folder / f"{LABELS}.gz").write_bytes(gzip.compress(idx(np.zeros(11))))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_missing, f"{IMAGES}: no such file"),
        (break_magic, f"{IMAGES}: not an IDX file .* starts with 89 50 4e 47, not 00 00 08 03"),
        (break_kind, f"{IMAGES}: not an IDX file of 3-dimensional"),
        (break_short, f"{IMAGES}: holds 9407 bytes .* 12 x 28 x 28 = 9408"),
        (break_header, f"{IMAGES}: not an IDX file"),
        (break_long, f"{IMAGES}: holds 9409 bytes"),
        (break_gzip, f"{LABELS}.gz: broken or truncated gzip"),
        (break_count, "12 images but 11 labels"),
    ],
)
def test_damaged_files_are_named_in_one_line(folder, damage, message):
    damage(folder)
    expected = FileNotFoundError if damage is break_missing else ValueError
    with pytest.raises(expected, match=message) as caught:
        load_digits("mnist", "train", 28, folder=folder)
    assert "\n" not in str(caught.value)


# Fetching, from a server of our own.


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder behind a local address, holding four files that stand for MNIST's."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in SHA256:
        contents = idx(np.arange(12)) if "labels" in name else idx(np.zeros((12, 28, 28)))
        (shelf / f"{name}.gz").write_bytes(gzip.compress(contents))
        monkeypatch.setitem(digits.SHA256, name, hashlib.sha256(contents).hexdigest())
    handler = functools.partial(Quiet, directory=str(shelf))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield shelf, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_fetched_files_can_be_read_and_are_not_fetched_twice(server, tmp_path):
    shelf, address = server
    folder = fetch_mnist(tmp_path / "a" / "mnist", mirrors=[f"{address}/gone/", f"{address}/"])
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.gz" for name in SHA256)
    assert len(load_digits("mnist", "test", 28, folder=folder).images) == 12
    for path in shelf.iterdir():
        path.unlink()
    assert fetch_mnist(folder, mirrors=[address]) == folder


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    _, address = server
    (tmp_path / f"{IMAGES}.gz").write_bytes(b"half")
    fetch_mnist(tmp_path, mirrors=[address])
    assert len(load_digits("mnist", "train", 28, folder=tmp_path).images) == 12


def test_wrong_contents_are_refused_and_leave_nothing(server, tmp_path):
    shelf, address = server
    (shelf / f"{IMAGES}.gz").write_bytes(gzip.compress(b"something else"))
    target = tmp_path / "target"
    with pytest.raises(OSError, match=f"could not fetch {IMAGES}.gz: .*wrong checksum") as caught:
        fetch_mnist(target, mirrors=[address])
    assert "\n" not in str(caught.value)
    assert list(target.iterdir()) == []


def test_a_dead_mirror_is_named(tmp_path):
    with pytest.raises(OSError, match=r"could not fetch .*127\.0\.0\.1:9"):
        fetch_mnist(tmp_path, mirrors=["http://127.0.0.1:9/"], timeout_s=2.0)


# The real thing.


@pytest.mark.shared_data
def test_real_mnist(shared_data):
    sizes = {"train": 55_000, "val": 5_000, "test": 10_000}
    pools = {s: load_digits("mnist", s, 28, folder=shared_data / "mnist") for s in SPLITS}
    assert {split: len(pool.images) for split, pool in pools.items()} == sizes
    assert pools["train"].classes[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert pools["test"].classes[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    both = np.concatenate([pools["train"].images, pools["val"].images])
    assert both.mean() / 255 == pytest.approx(0.1307, abs=1e-4)  # The well-known mean.


@pytest.mark.shared_data
def test_real_mnist_passes_the_checksums(shared_data, tmp_path):
    address = (shared_data / "mnist").as_uri()
    assert len(list(fetch_mnist(tmp_path, mirrors=[address]).iterdir())) == 4

"""Handwritten digits: scikit-learn's built-in 1,797, or MNIST from files on disk.

Images are uint8 squares (m, px, px), 0 the background, 255 full ink. Pools "train", "val", "test"
share no image. Nothing is ever downloaded unless `fetch_mnist` is called.

Sources: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits" (UCI, 1998), as
shipped by scikit-learn; Y. LeCun, C. Cortes, C. Burges, "The MNIST database" (IDX format).
"""

import gzip
import hashlib
import math
import os
import struct
import urllib.request
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8

Source = Literal["sklearn", "mnist"]
Pool = Literal["disjoint", "released"]
Split = Literal["train", "val", "test"]

SPLITS: tuple[Split, ...] = get_args(Split)

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Where MNIST is published in the original form, as <name>.gz."""

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""MNIST's files and the SHA-256 of their uncompressed contents."""

_VAL_START = 55_000  # MNIST-train[:55k] is train, the rest val.
_INK_SIDE = 20 / 28  # MNIST's digits fit a 20 px box in a 28 px image.


class Digits(NamedTuple):
    """Images and their classes."""

    images: UInt8[np.ndarray, "m px px"]
    """0 (background) to 255 (ink); read-only."""
    classes: Int64[np.ndarray, " m"]
    """0 to 9; read-only."""


@lru_cache(maxsize=16)
def load_digits(
    source: Source,
    split: Split,
    size: int,
    *,
    pool: Pool = "disjoint",
    folder: str | Path = "",
) -> Digits:
    """All digits of one pool, at one size; kept in memory for the next call.

    Args:
        source: "sklearn" (built in) or "mnist" (files in `folder`).
        split: "train", "val" or "test". scikit-learn: the first 80 %, the next 10 % and the last
            10 % of every class, in the data's order, which runs from writer to writer. MNIST:
            train[:55,000], train[55,000:] and t10k.
        size: side of the images, pixels.
        pool: "disjoint", or "released": the train digits whatever the split (what the released
            generator of Sound2Sight most likely did).
        folder: where MNIST's four IDX files are, gzipped or not.

    Returns:
        Images (m, size, size) and classes (m,).

    Raises:
        ValueError: if an argument is none of its choices, or a file is no IDX file of MNIST.
        FileNotFoundError: if a file of MNIST is missing.
    """
    for name, value, choices in (
        ("digits", source, get_args(Source)),
        ("split", split, SPLITS),
        ("pool", pool, get_args(Pool)),
    ):
        if value not in choices:
            raise ValueError(f"{name}={value!r} must be one of {', '.join(choices)}")
    if size < 4:
        raise ValueError(f"digit={size} px is too small to tell digits apart; at least 4 px")
    if source == "mnist" and not str(folder):
        raise ValueError("digits='mnist' needs the folder of its four files: mnist=FOLDER")
    used: Split = "train" if pool == "released" else split
    digits = _sklearn(used, size) if source == "sklearn" else _mnist(used, size, Path(folder))
    for array in digits:
        array.flags.writeable = False
    return digits


# scikit-learn's digits.


def _sklearn(split: Split, size: int) -> Digits:
    """One pool of the 8x8 digits, enlarged to `size` with MNIST's margin and contrast."""
    from sklearn import datasets  # Imported late: it takes a second.

    data = datasets.load_digits()
    classes = data.target.astype(np.int64)
    chosen = np.sort(
        np.concatenate([_share(np.flatnonzero(classes == c), split) for c in range(10)])
    )
    small = torch.from_numpy(data.images[chosen] / 16).float()[:, None]

    # Enlarged to a little more than MNIST's box: these digits have blank columns of their own.
    box = min(size, round(size * _INK_SIDE * 1.1))
    large = F.interpolate(small, size=(box, box), mode="bicubic", antialias=True)
    # Grey counts of 4x4 blocks become near black and white, with about MNIST's share of ink.
    ink = ((large - 0.35) / 0.5).clamp(0, 1)
    before = (size - box) // 2
    padded = F.pad(ink[:, 0], [before, size - box - before] * 2)
    return Digits((padded * 255).round().to(torch.uint8).numpy(), classes[chosen])


def _share(indices: Int64[np.ndarray, " i"], split: Split) -> Int64[np.ndarray, " j"]:
    """The first 80 %, next 10 % or last 10 % of one class."""
    bounds = [0, math.floor(0.8 * len(indices)), math.floor(0.9 * len(indices)), len(indices)]
    place = SPLITS.index(split)
    return indices[bounds[place] : bounds[place + 1]]


# MNIST.


def _mnist(split: Split, size: int, folder: Path) -> Digits:
    """One pool of MNIST, resized to `size`."""
    prefix = "t10k" if split == "test" else "train"
    images = read_idx_of(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
    classes = read_idx_of(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1).astype(np.int64)
    if len(images) != len(classes):
        raise ValueError(
            f"{folder}: {prefix} has {len(images)} images but {len(classes)} labels; "
            "they must be as many"
        )
    if split != "test":
        part = slice(_VAL_START) if split == "train" else slice(_VAL_START, None)
        images, classes = images[part], classes[part]
    if len(images) == 0:
        raise ValueError(f"{folder}: no digits for split {split!r}")
    return Digits(_resize(images, size), classes)


def _resize(images: UInt8[np.ndarray, "m h w"], size: int) -> UInt8[np.ndarray, "m px px"]:
    """Antialiased resize; the identity at the images' own size."""
    if images.shape[1:] == (size, size):
        return images
    resized = [
        F.interpolate(part.float()[:, None], size=(size, size), mode="bicubic", antialias=True)
        for part in torch.from_numpy(images).split(4096)
    ]
    return torch.cat(resized)[:, 0].clamp(0, 255).round().to(torch.uint8).numpy()


def read_idx_of(folder: Path, name: str, *, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read `folder/name` or `folder/name.gz`: magic 0, 0, 8 (uint8), dimensions; sizes; bytes."""
    path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{folder / name}: no such file, nor {name}.gz; put MNIST's four files there, call "
            "soundsight.data.digits.fetch_mnist, or use digits='sklearn'"
        )
    raw = path.read_bytes()
    if path.suffix == ".gz":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path}: broken or truncated gzip file ({error})") from error

    header = 4 + 4 * dimensions
    if len(raw) < header or raw[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(
            f"{path}: not an IDX file of {dimensions}-dimensional uint8; it starts with "
            f"{raw[:4].hex(' ')}, not 00 00 08 {dimensions:02x}"
        )
    shape = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != math.prod(shape):
        raise ValueError(
            f"{path}: holds {len(raw) - header} bytes of data, but its header says "
            f"{' x '.join(map(str, shape))} = {math.prod(shape)}"
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape).copy()


def fetch_mnist(
    folder: str | Path, *, mirrors: Sequence[str] = MIRRORS, timeout_s: float = 30.0
) -> Path:
    """Download MNIST's four files into a folder; files that are there and right are kept.

    Args:
        folder: where to, made if needed.
        mirrors: addresses that <name>.gz is appended to, tried in turn.
        timeout_s: how long a silent server is waited for, seconds.

    Returns:
        The folder.

    Raises:
        OSError: if no mirror has a file with the right SHA-256; nothing half-written remains.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in SHA256.items():
        path = folder / f"{name}.gz"
        if path.is_file() and _is_right(path.read_bytes(), digest):
            continue
        packed = _download(f"{name}.gz", digest, mirrors, timeout_s)
        partial = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            partial.write_bytes(packed)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return folder


def _download(name: str, digest: str, mirrors: Sequence[str], timeout_s: float) -> bytes:
    """The first mirror's file of that name whose contents have that SHA-256."""
    reasons = []
    for mirror in mirrors:
        address = mirror.rstrip("/") + "/" + name
        try:
            with urllib.request.urlopen(address, timeout=timeout_s) as answer:
                packed = answer.read()
        except OSError as error:  # URLError is one.
            reasons.append(f"{address}: {error}")
            continue
        if _is_right(packed, digest):
            return packed
        reasons.append(f"{address}: wrong checksum")
    raise OSError(f"could not fetch {name}: {'; '.join(reasons) or 'no mirrors given'}")


def _is_right(packed: bytes, digest: str) -> bool:
    """Whether the gzipped bytes unpack to contents of that SHA-256."""
    try:
        return hashlib.sha256(gzip.decompress(packed)).hexdigest() == digest
    except (EOFError, OSError, zlib.error):
        return False

"""Several processes that train one model: which one this is, and what they tell each other.

A launcher such as `torchrun` starts the same program several times and says in the environment
which rank each one is. With one process (`ALONE`) everything here does nothing, and torch's process
group is not even opened.
"""

import contextlib
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from soundsight.training.feed import pick_device

TIMEOUT = timedelta(hours=2)
"""How long a rank waits for the others: longer than the first one needs to validate or save."""


class RankLost(RuntimeError):  # noqa: N818 - reads as what it is.
    """Another process of the training has ended, so this one cannot go on."""

    def __init__(self) -> None:
        super().__init__(
            "another process of this training has ended, so this one stops, too; the same command "
            "with --resume goes on from the last saved state"
        )


@dataclass(frozen=True)
class Ranks:
    """This process among those that train one model together.

    Every method that says "all ranks" must be called by all of them, in the same order; it waits
    for the others and raises RankLost if one has ended.
    """

    rank: int = 0
    """Number of this process, from 0; the first one writes."""
    world: int = 1
    """Number of processes."""
    local: int = 0
    """Number of this process on its host, which is that of its GPU."""

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes the run folder."""
        return self.rank == 0

    def place(self, device: str) -> str:
        """The device of this rank, given what `TrainConfig.device` asks for.

        Raises:
            ValueError: if all ranks would share one GPU.
        """
        if self.world == 1 or device == "cpu":
            return device
        if device not in ("auto", "cuda"):
            raise ValueError(
                f"device={device!r}: each of {self.world} processes takes a GPU of its own; choose "
                "auto, cuda or cpu"
            )
        if device == "auto" and not torch.cuda.is_available():
            return "cpu"
        return f"cuda:{self.local}"

    def check_batch(self, batch_size: int, accumulate: int) -> None:
        """Refuse a batch that cannot be dealt out evenly.

        Raises:
            ValueError: if it cannot.
        """
        if batch_size % (self.world * accumulate):
            raise ValueError(
                f"batch_size={batch_size} is no multiple of {self.world} processes x "
                f"accumulate={accumulate}: every process takes an equal part of each batch"
            )

    def wait(self) -> None:
        """Wait until all ranks are here."""
        self._largest([0])

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any of all ranks."""
        return self._largest([int(flag)])[0] > 0

    def meet(self, label: str, flags: Sequence[bool]) -> list[bool]:
        """Check that all ranks are at the same place; each flag, whether it is set in any of them.

        Args:
            label: names the place.
            flags: as many in every rank.

        Raises:
            ValueError: if the labels differ.
        """
        code = zlib.crc32(label.encode())
        high, low, *found = self._largest([code, -code, *map(int, flags)])
        if high != -low:
            raise ValueError(
                "all processes must yield the same phases and terms in the same order, and do not; "
                f"rank {self.rank} is at: {label}"
            )
        return [flag > 0 for flag in found]

    def mean(self, number: float) -> float:
        """The mean of a number over all ranks."""
        if self.world == 1:
            return number
        total = torch.tensor(number, dtype=torch.float64)
        with _noticing():
            dist.all_reduce(total)
        return total.item() / self.world

    def share(self, data: bytes) -> bytes:
        """What the first of all ranks passes here; what the others pass is of no account."""
        if self.world == 1:
            return data
        size = torch.tensor(len(data))
        with _noticing():
            dist.broadcast(size, 0)
            buffer = torch.empty(int(size), dtype=torch.uint8)
            if self.is_first and data:
                buffer.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            dist.broadcast(buffer, 0)
        return buffer.numpy().tobytes()

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over all ranks; one reduction for each dtype.

        Args:
            tensors: on this rank's device, of the same shapes and dtypes in every rank.
        """
        if self.world == 1:
            return
        for bucket in _by_dtype(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with _noticing():
                dist.all_reduce(flat)
            _unflatten(flat.div_(self.world), bucket)

    @torch.no_grad()
    def copy_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first of all ranks; otherwise as `average`."""
        if self.world == 1:
            return
        for bucket in _by_dtype(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            with _noticing():
                dist.broadcast(flat, 0)
            _unflatten(flat, bucket)

    def _largest(self, numbers: list[int]) -> list[int]:
        """The largest of each number over all ranks; on the CPU, so that no GPU is waited for."""
        if self.world == 1:
            return numbers
        tensor = torch.tensor(numbers)
        with _noticing():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return tensor.tolist()


ALONE = Ranks()
"""A training in one process."""


def ranks_from_environment() -> Ranks:
    """The ranks that `torchrun` told of by RANK, WORLD_SIZE and LOCAL_RANK; else `ALONE`."""
    if not all(os.environ.get(name, "").isdecimal() for name in ("RANK", "WORLD_SIZE")):
        return ALONE
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    return Ranks(rank, world, int(os.environ.get("LOCAL_RANK", "0")))


@contextlib.contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Join the other ranks, if the launcher started any, for as long as this is entered.

    Flags and numbers go through gloo. So do gradients on the CPU; on GPUs they go through NCCL.

    Args:
        device: what `TrainConfig.device` asks for.

    Raises:
        ValueError: if there is no such device for every rank.
        RankLost: if the others cannot be reached.
    """
    ranks = ranks_from_environment()
    if ranks.world == 1:
        yield ALONE
        return
    own = pick_device(ranks.place(device))
    backend = "gloo"
    if own.type == "cuda":
        torch.cuda.set_device(own)
        backend = "cpu:gloo,cuda:nccl"
    with _noticing():
        dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


@contextlib.contextmanager
def _noticing() -> Iterator[None]:
    """Turn what gloo and NCCL raise when a connection ends into RankLost."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost from error


def _by_dtype(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors that can be joined into one, in an order that is the same in every rank."""
    buckets: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        buckets.setdefault(tensor.dtype, []).append(tensor)
    return list(buckets.values())


def _unflatten(flat: Tensor, into: Sequence[Tensor]) -> None:
    """Copy a vector back into the tensors, of any memory layout, that were joined to it."""
    for tensor, part in zip(into, flat.split([t.numel() for t in into]), strict=True):
        tensor.copy_(part.view(tensor.shape))

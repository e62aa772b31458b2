"""How a model is trained: the part `train` of a recipe."""

from typing import Literal

from pydantic import ConfigDict, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

from soundsight.training.optim import OptimConfig


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class TrainConfig:
    """How a model is trained.

    Raises:
        ValueError: if a field is unknown, of the wrong type or out of its range.
    """

    steps: PositiveInt
    """Optimization steps in all."""
    batch_size: PositiveInt
    """Clips per step, over all micro-batches and all processes."""
    optim: dict[str, OptimConfig]
    """Optimizer of each phase, by the phase's name."""
    accumulate: PositiveInt = 1
    """Micro-batches that a batch, or a process's part of it, is cut into to save memory; divides
    `batch_size`."""
    frames: PositiveInt | None = None
    """Train on windows of this many frames; None: whole clips."""
    window: Literal["random", "first"] = "random"
    """Where such a window starts."""
    balance: Literal["none", "class"] = "none"
    """What is drawn: "none": every clip once an epoch; "class": every class equally often."""
    workers: NonNegativeInt = 0
    """Loader processes; 0: a thread. Batches are the same, see `wait_s` in `stats.jsonl`."""
    ema: float | None = None
    """Decay per step of a moving average of the weights, in (0, 1), which is then what sampling
    uses; step k keeps min(ema, (1 + k) / (10 + k)). None: no average."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the losses; bfloat16 is autocast, weights and updates stay float32."""
    sync_batch_norm: bool = False
    """With several processes: batch norm over the clips of all of them, not of each; slower."""
    compile: bool = False
    """Compile the networks with torch.compile; slower to start, not bit-identical to without."""
    channels_last: bool = True
    """Keep weights of 2-D convolutions in the channels-last layout, faster on CPU and GPU."""
    seed: NonNegativeInt = 0
    """Root of the batches' order and of all noise in training."""
    device: str = "auto"
    """Name of a torch device: "cpu", "cuda", "cuda:1", ...; "auto" is CUDA, or else the CPU. Of
    several processes on a host, each takes a GPU of its own."""
    log_every: PositiveInt = 50
    """Steps per line of `stats.jsonl`."""
    validate_every: PositiveInt = 1000
    """Steps between validations."""
    checkpoint_every: PositiveInt = 1000
    """Steps between saved states."""
    keep_states: PositiveInt = 2
    """How many of the newest states stay on the disk."""
    tensorboard: bool = False
    """Write the statistics to `run/tensorboard` as well; needs the extra "track"."""

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"batch_size={self.batch_size} is no multiple of accumulate={self.accumulate}"
            )
        if self.sync_batch_norm and self.compile:
            raise ValueError("sync_batch_norm=True cannot be compiled: choose compile=False")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema={self.ema} must be between 0 and 1, or None")

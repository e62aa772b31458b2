"""Trains toys in several processes, given a list of trainings as JSON; one after the other.

Torch is imported once and the ranks are forked, which is much cheaper than to start each anew. The
numbers of each training's processes are printed as a line when they start, their exit codes when
they have ended; errors go to stderr, as the command line puts them.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # Slow; the first optimizer of each process would import it.
from tests.training import toy_models, train_toy
from torch import Generator, nn

from soundsight.contract import Loss
from soundsight.media.clip import Clip
from soundsight.training.distributed import Ranks, joined
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Interrupted, TrainConfig, train


class Poisoned(toy_models.Linear):
    """A loss that is not a number, in step 2 (from 0) of the second rank."""

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        for phase, loss in super().losses(clip, step=step, generator=generator):
            bad = step == 2 and os.environ["RANK"] == "1"
            yield phase, Loss(loss.total * (float("nan") if bad else 1), loss.terms)


class Divided(toy_models.Linear):
    """The second rank ends a step without its phase."""

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        if os.environ["RANK"] == "0":
            yield from super().losses(clip, step=step, generator=generator)


class Partial(toy_models.Linear):
    """A second map that only some clips use, and a third that none does."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleList([nn.Linear(64, 8), nn.Linear(8, 8), nn.Linear(8, 8)])

    def losses(self, clip: Clip, *, step: int, generator: Generator) -> Iterator[tuple[str, Loss]]:
        made, loss = self.net[0](clip.video[:, 0].flatten(1)), 0
        for one, sound in zip(made, clip.audio, strict=True):
            loud = step > 0 and float(sound[1]) > 0.9
            loss = loss + ((self.net[1](one) if loud else one) - sound).square().mean()
        yield "net", Loss(loss / len(clip), {})


KINDS = vars(toy_models) | {kind.__name__: kind for kind in (Poisoned, Divided, Partial)}


def go(ranks: Ranks, run: Path, kind: str, options: dict[str, Any]) -> None:
    odd = options.pop("odd", False)
    model = toy_models.build(KINDS[kind], seed=ranks.rank)  # The first rank's weights count.
    optim = {phase: OptimConfig(lr=0.01, betas=(0.5, 0.9)) for phase in model.phases()}
    if kind == "Gan":
        model.delay_s = options.pop("delay_s", 0.0)
        config = train_toy.config(options["steps"], options.get("checkpoint_every", 999))
        options = options | {"batch_size": 4}
    else:
        config = TrainConfig(steps=4, batch_size=8, optim=optim, ema=0.9, seed=5, device="cpu")
    config = replace(config, log_every=2, **options)
    if odd:
        config = replace(config, seed=config.seed + ranks.rank)
    recipe = {"train": asdict(config)}
    train(model, toy_models.Waves(), config, run, recipe=recipe, resume=True, ranks=ranks)


def one_rank(rank: int, world: int, port: int, training: dict[str, Any]) -> int:
    """Exit code of one process, as the command line would have it."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with joined("cpu") as ranks:
            go(ranks, Path(training["run"]), training["kind"], training.get("options", {}))
    except Interrupted:
        return 130
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"rank {rank}: {error}\n")
        sys.stderr.flush()
        return 1
    return 0


def start(rank: int, world: int, port: int, training: dict[str, Any]) -> int:
    process = os.fork()
    if process == 0:
        torch.set_num_threads(1)
        os._exit(one_rank(rank, world, port, training))
    return process


if __name__ == "__main__":
    for training in json.loads(sys.argv[1]):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = training["ranks"]
        processes = [start(rank, world, port, training) for rank in range(world)]
        print(json.dumps(processes), flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in processes]
        print(json.dumps(codes), flush=True)

"""Trains the toy GAN in a process of its own, given RUN STEPS CHECKPOINT_EVERY DELAY_S."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from tests.training.toy_models import Gan, Waves, build

from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import Interrupted, TrainConfig, train


def config(steps: int, checkpoint_every: int) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        batch_size=4,
        optim={
            "discriminator": OptimConfig(lr=1e-3, betas=(0, 0.9), clip_norm=0.5),
            "generator": OptimConfig(name="adamw", lr=1e-3, weight_decay=0.1, schedule="cosine"),
        },
        ema=0.95,
        seed=3,
        device="cpu",
        log_every=10,
        checkpoint_every=checkpoint_every,
    )


def go(run: Path, steps: int, checkpoint_every: int, delay_s: float = 0.0) -> None:
    c = config(steps, checkpoint_every)
    recipe = {"train": asdict(c)}
    train(build(Gan, delay_s=delay_s), Waves(), c, run, recipe=recipe, resume=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    run, steps, every, delay_s = sys.argv[1:]
    try:
        go(Path(run), int(steps), int(every), float(delay_s))
    except Interrupted as interruption:
        print(json.dumps({"state": str(interruption.state)}))
        sys.exit(130)

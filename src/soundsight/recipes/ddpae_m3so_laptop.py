"""DDPAE on small moving digits: the baseline of moving boxes for sound2sight_m3so_laptop.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_laptop; the optimizer is
the paper's, with twice its learning rate.

Command: soundsight train ddpae_m3so_laptop --out runs/ddpae_laptop
Hardware: 2 CPU cores.
Time: 1 minute.
Score: on 200 test clips, PSNR 17.1 dB over the first half of the future (mean image 16.2, the last
    frame kept 14.4); boxes follow digits, their contents are blurred. With --train.steps 5000
    17.7 dB, and digits can be told apart.
"""

import dataclasses

from soundsight.models import ddpae
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=ddpae.Config(seen=5, scale=3.0),  # A digit's ink is a third of a frame.
    train=dataclasses.replace(
        BASE.train,
        optim={"generator": OptimConfig(lr=2e-3, betas=(0.5, 0.999), warmup=50, schedule="cosine")},
    ),
)

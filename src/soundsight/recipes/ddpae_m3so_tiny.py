"""DDPAE on 16 px digits: everything runs, nothing is learned; for tests.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_tiny.

Command: soundsight train ddpae_m3so_tiny --out runs/ddpae_tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import ddpae
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_tiny import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=ddpae.Config(seen=3, image_code=16, content=8, rnn_size=16, frame_channels=4),
    train=dataclasses.replace(BASE.train, optim={"generator": OptimConfig(lr=1e-3)}),
)

"""DDPAE on a folder of your own videos: the baseline of moving boxes for sound2sight_folder_laptop.

Data, clips, batches, steps and evaluation are those of sound2sight_folder_laptop.  It has no
background: on videos that fill the frame it fails, as in the paper's Table 2.

Command: soundsight train ddpae_folder_laptop --data DIR_OF_VIDEOS --out runs/mine
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet; Sound2Sight's paper reports PSNR of 9.1 to 9.7 dB on natural videos.
"""

import dataclasses

from soundsight.models import ddpae
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_folder_laptop import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=ddpae.Config(seen=5, num_components=3),
    train=dataclasses.replace(
        BASE.train,
        optim={"generator": OptimConfig(lr=1e-3, betas=(0.5, 0.999), warmup=50, schedule="cosine")},
    ),
)

"""DDPAE on M3SO-NB, the data of Sound2Sight's Table 1a, which has no row of it.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_nb; the learning rate is
the paper's, falling to 0 as a cosine instead of to a tenth at half time.

Command: soundsight train ddpae_m3so_nb --out runs/ddpae_nb --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb, or less.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import ddpae
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=ddpae.Config(seen=5),
    train=dataclasses.replace(
        BASE.train,
        optim={"generator": OptimConfig(lr=1e-3, betas=(0.5, 0.999), schedule="cosine")},
    ),
)

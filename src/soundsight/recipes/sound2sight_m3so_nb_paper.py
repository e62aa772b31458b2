"""M3SO-NB with every quirk of the released code, its learning rates included.

Command: soundsight train sound2sight_m3so_nb_paper --out runs/m3so_nb_paper
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, fidelity="paper"),
    train=dataclasses.replace(
        BASE.train,
        ema=None,
        optim={"generator": OptimConfig(lr=2e-3), "discriminator": OptimConfig(lr=2.5e-3)},
    ),
)

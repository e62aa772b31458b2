"""The ablation of figure 5a: no discriminator, the evidence lower bound alone.

Command: soundsight train sound2sight_m3so_nb_no_discriminator --out runs/m3so_nb_no_discriminator
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, discriminator="none"),
    train=dataclasses.replace(BASE.train, optim={"generator": BASE.train.optim["generator"]}),
)

"""The laptop recipe with every quirk of the released code, its learning rates included.

Command: soundsight train sound2sight_m3so_laptop_paper --out runs/m3so_laptop_paper
Hardware: as sound2sight_m3so_laptop.
Time: not measured yet.
Score: docs/results/sound2sight.md.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop_discriminator import RECIPE as BASE
from soundsight.recipes.sound2sight_m3so_nb_paper import RECIPE as PAPER_SIZE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(
        BASE.model,
        fidelity="paper",
        z_source=None,
        dropout=PAPER_SIZE.model.dropout,
        position_dropout=PAPER_SIZE.model.position_dropout,
    ),
    train=dataclasses.replace(BASE.train, ema=None, optim=PAPER_SIZE.train.optim),
)

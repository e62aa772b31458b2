"""The laptop recipe with the paper's discriminator: what its table of ablations starts from.

Command: soundsight train sound2sight_m3so_laptop_discriminator --out runs/m3so_laptop_discriminator
Hardware: as sound2sight_m3so_laptop.
Time: 10 minutes on one of them.
Score: seeds 0 to 2: PSNR 18.7 dB over the first half of the future (mean image 16.2, another clip's
    sound 15.9), 17.3 dB in the last frame for the best of 20.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as BASE
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as PAPER_SIZE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, discriminator="lstm"),
    train=dataclasses.replace(
        BASE.train,
        optim=BASE.train.optim | {"discriminator": PAPER_SIZE.train.optim["discriminator"]},
    ),
)

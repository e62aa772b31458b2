"""The ablation "Ours - No AA, MD" of Table 1a: the image discriminator alone.

Command: soundsight train sound2sight_m3so_nb_no_aa_no_md --out runs/m3so_nb_no_aa_no_md
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: the paper reports PSNR 21.16, 16.16, 15.49 at frames 6, 15, 25; ours is not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, alignment=False, motion=False)
)

"""The ablation "Ours - No audio" of Table 1a: the same model without ears.

Command: soundsight train sound2sight_m3so_nb_no_audio --out runs/m3so_nb_no_audio
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: the paper reports PSNR 22.66, 15.59, 12.40 at frames 6, 15, 25; ours is not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, audio=False))

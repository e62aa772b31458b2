"""The ablation of figure 5a: LSTMs of 128 units in place of the transformers.

Command: soundsight train sound2sight_m3so_nb_lstm --out runs/m3so_nb_lstm
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, temporal="lstm"))

"""The speech-driven GAN on a folder of your own videos, the still being the last seen frame.

Data, clips, batches, steps and evaluation are those of sound2sight_folder_laptop.

Command: soundsight train speech_driven_folder_laptop --data DIR_OF_VIDEOS --out runs/mine
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_folder_laptop import RECIPE as SOUND2SIGHT
from soundsight.recipes.speech_driven_m3so_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    SOUND2SIGHT,
    model=BASE.model,
    train=dataclasses.replace(SOUND2SIGHT.train, optim=BASE.train.optim),
)

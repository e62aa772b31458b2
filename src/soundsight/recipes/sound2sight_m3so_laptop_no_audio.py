"""The laptop recipe without ears: what the demo compares it with.

Command: soundsight train sound2sight_m3so_laptop_no_audio --out runs/m3so_laptop_no_audio
Hardware: as sound2sight_m3so_laptop.
Time: as sound2sight_m3so_laptop.
Score: on the same clips 17.5 dB over the first half, 16.3 dB in the last frame for the best of 20.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, audio=False))

"""The laptop baseline that is shown all seen frames, not only the last one.

Command: soundsight train speech_driven_m3so_laptop_multiframe --out runs/speech_driven_multiframe
Hardware: as speech_driven_m3so_laptop.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes import Recipe
from soundsight.recipes.speech_driven_m3so_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, identity="all"))

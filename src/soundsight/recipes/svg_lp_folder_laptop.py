"""SVG-LP on a folder of your own videos: the baseline without ears for sound2sight_folder_laptop.

Data, clips, batches, steps and evaluation are those of sound2sight_folder_laptop.

Command: soundsight train svg_lp_folder_laptop --data DIR_OF_VIDEOS --out runs/mine
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import svg_lp
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_folder_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=svg_lp.Config(seen=5, frame_channels=24, beta=1e-6),
)

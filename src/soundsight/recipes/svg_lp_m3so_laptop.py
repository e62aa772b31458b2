"""SVG-LP on small moving digits: the baseline without ears for sound2sight_m3so_laptop.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_laptop.

Command: soundsight train svg_lp_m3so_laptop --out runs/svg_lp_laptop
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import svg_lp
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(BASE, model=svg_lp.Config(seen=5, frame_channels=24))

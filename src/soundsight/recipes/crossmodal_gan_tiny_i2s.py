"""Sounds of instruments from their picture, as small as it gets: all runs, nothing is learned.

Command: soundsight train crossmodal_gan_tiny_i2s --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_tiny import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, direction="image_to_sound")
)

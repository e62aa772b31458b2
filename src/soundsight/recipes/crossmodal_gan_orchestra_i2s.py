"""Sounds of instruments from their picture at the paper's sizes, on built-in instruments: I2S.

Command: soundsight train crossmodal_gan_orchestra_i2s --out runs/i2s
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, direction="image_to_sound")
)

"""Spoken digits from handwritten ones, FSDD and MNIST, at a laptop's size: I2S.

Command: soundsight train crossmodal_gan_digits_laptop_i2s --data prepared/digits --out runs/i2s
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_digits_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, direction="image_to_sound", generator_channels=32),
    train=dataclasses.replace(BASE.train, steps=6000),
)

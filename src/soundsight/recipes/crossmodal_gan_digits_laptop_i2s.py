"""Spoken digits from handwritten ones, FSDD and MNIST, at a laptop's size: I2S.

Command: soundsight train crossmodal_gan_digits_laptop_i2s --data prepared/digits --out runs/i2s
Hardware: 2 CPU cores.
Time: 11 minutes with one thread.
Score: digits right by an independent judge 0.938, 0.955, 0.940 in three seeds (real 0.992; another
    digit's picture 0.005), 500 pairs of recordings never heard.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_digits_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, direction="image_to_sound", generator_channels=32),
    train=dataclasses.replace(BASE.train, steps=6000),
)

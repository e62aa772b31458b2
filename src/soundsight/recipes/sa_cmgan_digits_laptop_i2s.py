"""Spoken digits from handwritten ones with self-attention, at a laptop's size: SA-CMGAN.

Command: soundsight train sa_cmgan_digits_laptop_i2s --data prepared/digits --out runs/sa_i2s
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.sa_cmgan_digits_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, direction="image_to_sound")
)

"""Handwritten digits from spoken ones and back by CMCGAN without the noise z.

Command: soundsight train cmcgan_digits_laptop_no_z --data prepared/digits --out runs/no_z
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.cmcgan_digits_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE, model=dataclasses.replace(BASE.model, ablation="no_z", mode_seeking=0.0)
)

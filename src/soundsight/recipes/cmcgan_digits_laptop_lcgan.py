"""Handwritten digits from spoken ones and back, without paths through one modality alone: LCGAN.

Command: soundsight train cmcgan_digits_laptop_lcgan --data prepared/digits --out runs/lcgan
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.cmcgan_digits_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, ablation="lcgan"))

"""Control at a laptop's size: as published, with "real" pairs of two different clips.

Command: soundsight train joint_gan_bounce_laptop_paper_shuffled --out runs/paper_shuffled
Hardware: 2 CPU cores.
Time: not measured yet.
Score: picture and sound cannot belong together.
"""

import dataclasses

from soundsight.recipes.joint_gan_bounce_laptop_paper import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, shuffle_pairs=True))

"""Control at a laptop's size: as published, with "real" pairs of two different clips.

Command: soundsight train joint_gan_bounce_laptop_paper_shuffled --out runs/paper_shuffled
Hardware: 2 CPU cores.
Time: 30 minutes with one thread.
Score: picture and sound cannot belong together: overlap of onsets and contacts p = 0.89, 0.26.
"""

import dataclasses

from soundsight.recipes.joint_gan_bounce_laptop_paper import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, shuffle_pairs=True))

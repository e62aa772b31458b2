"""Pictures of instruments with self-attention, as small as it gets: all runs, nothing is learned.

Command: soundsight train sa_cmgan_tiny --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import sa_cmgan
from soundsight.recipes.crossmodal_gan_tiny import MAPS
from soundsight.recipes.crossmodal_gan_tiny import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=sa_cmgan.Config(channels=4, z=4, features=16, condition=8, encoder_steps=1, **MAPS),
)

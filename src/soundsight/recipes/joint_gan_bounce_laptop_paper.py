"""The model as published at a laptop's size: two joint discriminators by equation 2.

Command: soundsight train joint_gan_bounce_laptop_paper --out runs/paper
Hardware: 2 CPU cores.
Time: 25 to 30 minutes with one thread.
Score: picture and sound cannot belong together: overlap of onsets and contacts p = 0.49, 0.76, 0.02
    (an overlap of 0.43 for 0.42 re-paired), AUC of a judge of correspondence 0.50 in three seeds.
"""

import dataclasses

from soundsight.models import joint_gan
from soundsight.recipes.joint_gan_bounce_laptop import RECIPE as BASE
from soundsight.recipes.joint_gan_bounce_laptop import RELEASED, SIZES

RECIPE = dataclasses.replace(
    BASE,
    model=joint_gan.Config(fidelity="paper", **SIZES),
    train=dataclasses.replace(BASE.train, optim=RELEASED),
)

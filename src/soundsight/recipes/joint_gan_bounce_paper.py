"""The model as published, at the paper's sizes: two joint discriminators by equation 2.

Its objective depends on each generator alone, so it cannot make picture and sound belong together.

Command: soundsight train joint_gan_bounce_paper --out runs/paper
Hardware: one GPU with 24 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import joint_gan
from soundsight.recipes.joint_gan_bounce import RECIPE as BASE
from soundsight.recipes.joint_gan_bounce import RELEASED

RECIPE = dataclasses.replace(
    BASE,
    model=joint_gan.Config(fidelity="paper"),
    train=dataclasses.replace(BASE.train, optim=RELEASED),
)

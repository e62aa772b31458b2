"""The model as published, at the paper's sizes, on prepared data or a folder of videos.

Command: soundsight train joint_gan_folder_64_paper --data DIR --out runs/mine_paper
Hardware: one GPU with 24 GB.
Time: depends on the videos; not yet measured.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import joint_gan
from soundsight.recipes.joint_gan_bounce import RELEASED
from soundsight.recipes.joint_gan_folder_64 import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=joint_gan.Config(fidelity="paper"),
    train=dataclasses.replace(BASE.train, optim=RELEASED),
)

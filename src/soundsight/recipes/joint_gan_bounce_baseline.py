"""The paper's baseline at its sizes: MoCoGAN and WaveGAN side by side, no joint discriminator.

Picture and sound come of separate noise: they cannot belong together.

Command: soundsight train joint_gan_bounce_baseline --out runs/baseline
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
    model=joint_gan.Config(fidelity="paper", pairs=()),
    train=dataclasses.replace(
        BASE.train, optim={k: v for k, v in RELEASED.items() if k != "joint_discriminators"}
    ),
)

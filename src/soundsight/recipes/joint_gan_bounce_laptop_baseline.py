"""The paper's baseline at a laptop's size: MoCoGAN and WaveGAN side by side.

Command: soundsight train joint_gan_bounce_laptop_baseline --out runs/baseline
Hardware: 2 CPU cores.
Time: not measured yet.
Score: picture and sound cannot belong together.
"""

import dataclasses

from soundsight.models import joint_gan
from soundsight.recipes.joint_gan_bounce_laptop import RECIPE as BASE
from soundsight.recipes.joint_gan_bounce_laptop import RELEASED, SIZES

RECIPE = dataclasses.replace(
    BASE,
    model=joint_gan.Config(fidelity="paper", pairs=(), **SIZES),
    train=dataclasses.replace(
        BASE.train, optim={k: v for k, v in RELEASED.items() if k != "joint_discriminators"}
    ),
)

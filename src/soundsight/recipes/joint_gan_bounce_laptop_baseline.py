"""The paper's baseline at a laptop's size: MoCoGAN and WaveGAN side by side.

Command: soundsight train joint_gan_bounce_laptop_baseline --out runs/baseline
Hardware: 2 CPU cores.
Time: not measured yet.
Score: picture and sound cannot belong together.
"""

import dataclasses

from soundsight.models import joint_gan
from soundsight.recipes.joint_gan_bounce import PHASES
from soundsight.recipes.joint_gan_bounce_laptop import ADAM, SIZES
from soundsight.recipes.joint_gan_bounce_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=joint_gan.Config(fidelity="paper", pairs=(), **SIZES),
    train=dataclasses.replace(
        BASE.train, optim={phase: ADAM for phase in PHASES if phase != "joint_discriminators"}
    ),
)

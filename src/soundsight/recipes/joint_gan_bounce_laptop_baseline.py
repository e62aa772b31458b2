"""The paper's baseline at a laptop's size: MoCoGAN and WaveGAN side by side.

Command: soundsight train joint_gan_bounce_laptop_baseline --out runs/baseline
Hardware: 2 CPU cores.
Time: 15 minutes with one thread.
Score: picture and sound cannot belong together: overlap of onsets and contacts has p = 0.23, 0.85
and 0.75 (seeds 0, 1, 2).
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

"""Pictures of instruments from their sound with self-attention, at 64 px, on built-in instruments.

SA-CMGAN with the released code's sizes and learning rates; pairs as of Sub-URMP, as many as there.
Sounds of pictures: `--model.direction image_to_sound`; as released: `--model.fidelity paper`.

Command: soundsight train sa_cmgan_orchestra --out runs/sa
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import sa_cmgan
from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE
from soundsight.training.optim import OptimConfig

BETAS = (0.5, 0.999)

RECIPE = dataclasses.replace(
    BASE,
    model=sa_cmgan.Config(),
    train=dataclasses.replace(
        BASE.train,
        steps=20_000,  # 8,000 of the encoders, then the GAN's.
        optim={
            "encoders": OptimConfig(lr=1e-4, betas=BETAS),
            "discriminator": OptimConfig(lr=1e-4, betas=BETAS),
            "generator": OptimConfig(lr=5e-4, betas=BETAS),
        },
    ),
)

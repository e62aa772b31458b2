"""The speech-driven GAN on M3SO-NB, Sound2Sight's baseline [56] (its section 4, Table 1a).

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_nb; the still is the last
seen frame.

Command: soundsight train speech_driven_m3so_nb --out runs/speech_driven_nb
    --data.digits mnist --data.mnist MNIST
Hardware: one GPU with 24 GB.
Time: not measured yet.
Score: not measured yet. The Sound2Sight paper reports PSNR 15.17, 14.99, 15.01 at frames 6, 15, 25
    for its own training of this model.
"""

import dataclasses

from soundsight.models import speech_driven
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as SOUND2SIGHT
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    SOUND2SIGHT,
    model=speech_driven.Config(seen=5),
    train=dataclasses.replace(
        SOUND2SIGHT.train,
        optim={
            "generator": OptimConfig(lr=2e-4),
            "frame_discriminator": OptimConfig(lr=2e-4),
            "sequence_discriminator": OptimConfig(lr=5e-5),
        },
    ),
)

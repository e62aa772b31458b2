"""The speech-driven GAN on 16 px digits: everything runs, nothing is learned; for tests.

Command: soundsight train speech_driven_m3so_tiny --out runs/speech_driven_tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import speech_driven
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_tiny import RECIPE as SOUND2SIGHT
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    SOUND2SIGHT,
    model=speech_driven.Config(
        seen=3,
        sound_code=16,
        identity_code=8,
        noise=4,
        frame_channels=4,
        audio_channels=2,
        sync=True,
    ),
    train=dataclasses.replace(
        SOUND2SIGHT.train,
        optim={
            "generator": OptimConfig(lr=2e-3),
            "frame_discriminator": OptimConfig(lr=2e-4, betas=(0.5, 0.999)),
            "sequence_discriminator": OptimConfig(lr=5e-5, betas=(0.5, 0.999)),
        },
    ),
)

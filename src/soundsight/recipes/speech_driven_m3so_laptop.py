"""The speech-driven GAN on small moving digits, the still being the last seen frame: a baseline.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_laptop.

Command: soundsight train speech_driven_m3so_laptop --out runs/speech_driven
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import speech_driven
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as SOUND2SIGHT
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    SOUND2SIGHT,
    model=speech_driven.Config(seen=5, sound_code=128, frame_channels=24, audio_channels=8),
    train=dataclasses.replace(
        SOUND2SIGHT.train,
        optim={
            "generator": OptimConfig(lr=2e-3, warmup=50, schedule="cosine"),
            "frame_discriminator": OptimConfig(lr=2e-4, betas=(0.5, 0.999)),
            "sequence_discriminator": OptimConfig(lr=5e-5, betas=(0.5, 0.999)),
        },
    ),
)

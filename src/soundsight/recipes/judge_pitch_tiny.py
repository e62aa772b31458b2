"""A judge that tells the pitch of a sound, learned from BounceTone's; for tests.

Command: soundsight train judge_pitch_tiny --out runs/judge_pitch_tiny
Hardware: any CPU.
Time: 4 s of one core.
Score: chance; nothing is learned in 8 steps.
"""

import dataclasses

from soundsight.models import judges
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_tiny import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(
        part="audio",
        target="pitch",
        hearing=Hearing(n_fft=1024, hop_length=128, n_mels=64, channels=4),
        features=32,
        dropout=0.0,
    ),
)

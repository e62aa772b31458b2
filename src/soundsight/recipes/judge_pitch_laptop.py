"""A judge that tells the pitch of a sound, learned from BounceTone's.

Command: soundsight train judge_pitch_laptop --out runs/judge_pitch_laptop
Hardware: 1 CPU core.
Time: 33 s of one core.
Score: on 500 test clips, accuracy 0.942 (95 % interval 0.924 to 0.957; chance 0.016), to a semitone
    0.998. Pitches between two semitones are half of one, half of the other.
"""

import dataclasses

from soundsight.models import judges
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(
        part="audio",
        target="pitch",
        hearing=Hearing(n_fft=1024, hop_length=64, n_mels=128, channels=16),
        dropout=0.1,
    ),
    train=dataclasses.replace(BASE.train, steps=300, batch_size=16),
)

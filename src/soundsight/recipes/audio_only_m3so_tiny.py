"""Audio-Only on 16 px digits: everything runs, nothing is learned; for tests.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_tiny.

Command: soundsight train audio_only_m3so_tiny --out runs/audio_only_tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import audio_only
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_tiny import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=audio_only.Config(seen=3, code=16, rnn_size=16, frame_channels=4, audio_channels=4),
    train=dataclasses.replace(BASE.train, optim={"generator": BASE.train.optim["generator"]}),
)

"""Audio-Only on a folder of your own videos: the baseline without eyes.

Data, clips, batches, steps and evaluation are those of sound2sight_folder_laptop.

Command: soundsight train audio_only_folder_laptop --data DIR_OF_VIDEOS --out runs/mine
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import audio_only
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_folder_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=audio_only.Config(seen=5, frame_channels=24, audio_channels=16, n_fft=128, hop_length=64),
)

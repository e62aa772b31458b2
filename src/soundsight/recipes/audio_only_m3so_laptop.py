"""Audio-Only on small moving digits: the baseline without eyes for sound2sight_m3so_laptop.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_laptop.

Command: soundsight train audio_only_m3so_laptop --out runs/audio_only_laptop
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import audio_only
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE, model=audio_only.Config(seen=5, frame_channels=24, audio_channels=16)
)

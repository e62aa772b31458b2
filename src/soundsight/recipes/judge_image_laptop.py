"""A judge that tells the colour of BounceTone by single frames.

Command: soundsight train judge_image_laptop --out runs/judge_image_laptop
Hardware: 1 CPU core.
Time: 9 s of one core.
Score: on all frames of 500 test clips, accuracy 1.000 (majority 0.258).
"""

import dataclasses

from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_laptop import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(part="image", classes=4, widths=(8, 16, 32, 32), dropout=0.2),
    train=dataclasses.replace(BASE.train, steps=300, batch_size=16),
)

"""A judge that tells the colour of BounceTone by single frames; for tests.

Command: soundsight train judge_image_tiny --out runs/judge_image_tiny
Hardware: any CPU.
Time: 4 s of one core.
Score: chance; nothing is learned in 8 steps.
"""

import dataclasses

from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_tiny import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(
        part="image", classes=4, widths=(4, 8, 8, 16), features=16, dropout=0.0
    ),
)

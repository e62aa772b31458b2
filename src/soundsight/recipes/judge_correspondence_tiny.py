"""A judge that tells which sound belongs to which video, and when, on BounceTone; for tests.

Command: soundsight train judge_correspondence_tiny --out runs/judge_correspondence_tiny
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
    model=judges.CorrespondenceConfig(
        hearing=BASE.model.hearing, widths=(4, 8, 8, 16), features=8, hard_from=4, harder_from=6
    ),
)

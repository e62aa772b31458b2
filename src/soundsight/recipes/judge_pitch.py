"""A judge that tells the pitch of a sound, learned from Orchestra's.

Command: soundsight train judge_pitch --out runs/judge_pitch
Hardware: one GPU.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(part="audio", target="pitch"),
)

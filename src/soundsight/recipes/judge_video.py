"""A judge that tells Orchestra's instruments by their video.

Command: soundsight train judge_video --out runs/judge_video
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
    model=judges.ClassifierConfig(part="video", classes=13),
)

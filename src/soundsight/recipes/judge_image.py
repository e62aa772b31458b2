"""A judge that tells Orchestra's instruments by single frames.

Command: soundsight train judge_image --out runs/judge_image
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
    model=judges.ClassifierConfig(part="image", classes=13),
)

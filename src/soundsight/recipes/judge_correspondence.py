"""A judge that tells which sound belongs to which video, and when, on Orchestra.

Command: soundsight train judge_correspondence --out runs/judge_correspondence
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
    model=judges.CorrespondenceConfig(),
)

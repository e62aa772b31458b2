"""A judge that tells which spoken digit belongs to which handwritten one, FSDD and MNIST.

Command: soundsight train judge_correspondence_digits --data prepared/digits
    --out runs/judge_correspondence_digits
Hardware: 1 CPU core.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_digits import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.CorrespondenceConfig(
        hearing=BASE.model.hearing, widths=(16, 32, 64, 64), features=32
    ),
    train=dataclasses.replace(BASE.train, steps=1000),
)

"""A judge that tells handwritten digits, MNIST: of pairs with spoken ones, see `crossmodal_gan`.

Command: soundsight train judge_image_digits --data prepared/digits --out runs/judge_image_digits
Hardware: 1 CPU core.
Time: 1 minute of one core.
Score: on 1,124 test pictures, accuracy 0.987 (95 % interval 0.980 to 0.993; majority 0.107).
"""

import dataclasses

from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.recipes.judge_sound_digits import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=judges.ClassifierConfig(
        part="image", classes=10, widths=(16, 32, 64, 64), dropout=0.2, shift=True
    ),
    train=dataclasses.replace(BASE.train, steps=2000),
)

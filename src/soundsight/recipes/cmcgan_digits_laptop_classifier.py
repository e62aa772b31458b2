"""CMCGAN on digits with its classifier, for the paper's table of inputs V, A, V-A, GV-A and GA-V.

The generator is that of `cmcgan_digits_laptop`, then frozen while the classifier learns. No moving
average: it would go on to the generator's last weights in that time.

Command: soundsight train cmcgan_digits_laptop_classifier --data prepared/digits --out runs/inputs
Hardware: 2 CPU cores.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.cmcgan_digits_laptop import RECIPE as BASE
from soundsight.recipes.crossmodal_gan_digits_laptop import ADAM

RECIPE = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, classifier_channels=8, classifier_from=BASE.train.steps),
    train=dataclasses.replace(
        BASE.train,
        steps=BASE.train.steps + 500,
        ema=None,
        optim=BASE.train.optim | {"classifier": ADAM},
    ),
)

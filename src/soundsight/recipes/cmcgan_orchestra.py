"""Pictures of sounds and sounds of pictures by one network, at 64 px, on built-in instruments.

CMCGAN, then a classifier of what there is of a pair. Pairs as of Sub-URMP, as many as there. As
published: `--model.fidelity paper`.

Command: soundsight train cmcgan_orchestra --out runs/cmcgan
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.models import cmcgan
from soundsight.recipes.crossmodal_gan_orchestra import ADAM
from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=cmcgan.Config(),
    train=dataclasses.replace(
        BASE.train,
        steps=22_000,  # 20 epochs; the paper shows samples of 5 to 7.
        optim=dict.fromkeys(("discriminator", "generator"), ADAM),
    ),
)

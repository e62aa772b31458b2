"""Pictures of sounds and sounds of pictures by one network: all runs, nothing is learned.

Command: soundsight train cmcgan_tiny --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import cmcgan
from soundsight.recipes.crossmodal_gan_orchestra import ADAM
from soundsight.recipes.crossmodal_gan_tiny import MAPS
from soundsight.recipes.crossmodal_gan_tiny import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=cmcgan.Config(
        feature=16, z=4, channels=4, classifier_channels=4, classifier_from=4, **MAPS
    ),
    train=dataclasses.replace(
        BASE.train, optim=dict.fromkeys(("discriminator", "generator", "classifier"), ADAM)
    ),
)

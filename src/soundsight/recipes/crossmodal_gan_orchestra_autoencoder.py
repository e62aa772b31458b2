"""Pictures of instruments from their sound, encoded without labels: the paper's S2I-A.

Command: soundsight train crossmodal_gan_orchestra_autoencoder --out runs/s2i_a
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, encoder="autoencoder"))

"""Pictures of instruments from their sound, without wrong pairs in training: the paper's S2I-N.

Command: soundsight train crossmodal_gan_orchestra_no_mismatch --out runs/s2i_n
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, mismatch="none"))

"""Control: as published, but the joint discriminators' real pairs are of two different clips.

As much capacity as `joint_gan_bounce_paper`, and nothing to learn about pairs: what it gains over
the baseline is not gained by pairing.

Command: soundsight train joint_gan_bounce_paper_shuffled --out runs/paper_shuffled
Hardware: one GPU with 24 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.recipes.joint_gan_bounce_paper import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, model=dataclasses.replace(BASE.model, shuffle_pairs=True))

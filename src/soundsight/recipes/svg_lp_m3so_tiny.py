"""SVG-LP on 16 px digits: everything runs, nothing is learned; for tests.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_tiny.

Command: soundsight train svg_lp_m3so_tiny --out runs/svg_lp_tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

import dataclasses

from soundsight.models import svg_lp
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_tiny import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=svg_lp.Config(seen=3, code=16, z_dim=4, rnn_size=16, frame_channels=4),
    train=dataclasses.replace(BASE.train, optim={"generator": BASE.train.optim["generator"]}),
)

"""SVG-LP on M3SO-NB: the baseline without ears of Sound2Sight's Table 1a.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_nb.

Command: soundsight train svg_lp_m3so_nb --out runs/svg_lp_nb --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: not measured yet.
Score: Sound2Sight's paper reports PSNR 18.59, 14.65, 13.98 at frames 6, 15, 25 (best of 100); ours
    is not measured yet.
"""

import dataclasses

from soundsight.models import svg_lp
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=svg_lp.Config(seen=5),
    train=dataclasses.replace(BASE.train, optim={"generator": OptimConfig(lr=2e-3, clip_norm=1.0)}),
)

"""Audio-Only on M3SO-NB: the baseline without eyes of Sound2Sight's Table 1a.

Data, clips, batches, steps and evaluation are those of sound2sight_m3so_nb.

Command: soundsight train audio_only_m3so_nb --out runs/audio_only_nb
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: not measured yet.
Score: Sound2Sight's paper reports PSNR 13.71, 13.16, 12.94 at frames 6, 15, 25; ours is not
    measured yet.
"""

import dataclasses

from soundsight.models import audio_only
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE
from soundsight.training.optim import OptimConfig

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=audio_only.Config(seen=5),
    train=dataclasses.replace(BASE.train, optim={"generator": OptimConfig(lr=2e-3, clip_norm=1.0)}),
)

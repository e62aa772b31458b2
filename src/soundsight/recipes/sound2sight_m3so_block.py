"""Sound2Sight on M3SO, the paper's setting with the surprise block (section 4, Table 1b).

30 seen frames, 30 predicted in training, 40 in the test; the block appears at frame 42.

Command: soundsight train sound2sight_m3so_block --out runs/m3so_block
    --data.digits mnist --data.mnist MNIST
Hardware: as sound2sight_m3so_nb.
Time: as sound2sight_m3so_nb.
Score: the paper reports PSNR 19.50, 9.39, 9.41 at frames 31, 42, 70 and a block IoU of 0.58;
    ours is not measured yet.
"""

import dataclasses

from soundsight.data.m3so import BLOCK
from soundsight.media.clip import ClipSpec
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_m3so_nb import RECIPE as BASE

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, seen=30),
    data=BLOCK,
    clip=ClipSpec(frames=70),
    train=dataclasses.replace(BASE.train, frames=60),
    evaluate=dataclasses.replace(BASE.evaluate, seen=30, frames=70),
)

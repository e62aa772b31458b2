"""Joint generation at the paper's sizes on built-in instruments, like Sub-URMP-Video.

Thirteen instruments, notes and strokes at 64 px, 10 fps, 1 s, 16 kHz.

Command: soundsight train joint_gan_orchestra --out runs/orchestra
Hardware: one GPU with 24 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.orchestra import Orchestra
from soundsight.recipes.joint_gan_bounce import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, data=Orchestra(clips=(100_000, 1000, 10_000)))

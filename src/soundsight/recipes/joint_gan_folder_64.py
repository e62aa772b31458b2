"""Joint generation at the paper's sizes on prepared data or a folder of your own videos.

64 px, 10 fps, 1 s, 16 kHz: Sub-URMP-Video (`soundsight prepare ... --layout sub_urmp_video`) or
anything else.  Of 25 fps as HMMD: `--clip.frames 25 --clip.fps 25`.

Command: soundsight train joint_gan_folder_64 --data DIR --out runs/mine
Hardware: one GPU with 24 GB.
Time: depends on the videos; not yet measured.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.folder import VideoFolder
from soundsight.recipes.joint_gan_bounce import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, data=VideoFolder(path=""))

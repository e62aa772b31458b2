"""Joint generation on prepared data or a folder of your own videos, at a laptop's size.

32 px, 10 fps, 1 s, 8 kHz.

Command: soundsight train joint_gan_folder_laptop --data DIR --out runs/mine
Hardware: 2 CPU cores.
Time: depends on the videos; not yet measured.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.folder import VideoFolder
from soundsight.media.clip import ClipSpec
from soundsight.recipes.joint_gan_bounce_laptop import RECIPE as BASE

RECIPE = dataclasses.replace(
    BASE,
    model=dataclasses.replace(BASE.model, augment=None),  # Few clips, seen often.
    data=VideoFolder(path=""),
    clip=ClipSpec(frames=10, fps=10, size=32, channels=3, sample_rate=8000),
)

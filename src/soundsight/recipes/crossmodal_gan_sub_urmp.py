"""Pictures of instruments from their sound at the paper's sizes, on its data, Sub-URMP: S2I-C.

Prepare the published folder first: `soundsight prepare Sub-URMP prepared/sub_urmp --layout
sub_urmp`. Sounds of pictures: `--model.direction image_to_sound`; as published: `--model.fidelity
paper`.

Command: soundsight train crossmodal_gan_sub_urmp --data prepared/sub_urmp --out runs/s2i
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.prepared import PreparedData
from soundsight.recipes.crossmodal_gan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, data=PreparedData(path=""))

"""Pictures of instruments from their sound with self-attention, on the paper's data, Sub-URMP.

Prepare the published folder first: `soundsight prepare Sub-URMP prepared/sub_urmp --layout
sub_urmp`. Sounds of pictures: `--model.direction image_to_sound`; as released: `--model.fidelity
paper`.

Command: soundsight train sa_cmgan_sub_urmp --data prepared/sub_urmp --out runs/sa
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.prepared import PreparedData
from soundsight.recipes.sa_cmgan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, data=PreparedData(path=""))

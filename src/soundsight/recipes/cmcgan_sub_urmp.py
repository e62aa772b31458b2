"""Pictures of sounds and sounds of pictures by one network, on the paper's data, Sub-URMP.

Prepare the published folder first: `soundsight prepare Sub-URMP prepared/sub_urmp --layout
sub_urmp`. As published: `--model.fidelity paper`.

Command: soundsight train cmcgan_sub_urmp --data prepared/sub_urmp --out runs/cmcgan
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.prepared import PreparedData
from soundsight.recipes.cmcgan_orchestra import RECIPE as BASE

RECIPE = dataclasses.replace(BASE, data=PreparedData(path=""))

"""Sound2Sight on talking faces that fill the frame: does sound move the mouth?  For a laptop.

64 px, colour, 25 fps, 16 kHz; 15 seen frames, 15 predicted, windows of clips of 3 s in training,
their beginnings in the evaluation; no discriminator.  The mouth is scored on its own as well;
`examples/face_boxes.py` finds the faces.

Command: soundsight train sound2sight_faces_laptop --data PREPARED_FACES --out runs/faces
Hardware: 2 CPU cores.
Time: not measured yet.
Score: docs/results/sound2sight.md.
"""

import dataclasses

from soundsight.media.clip import ClipSpec
from soundsight.recipes import Recipe
from soundsight.recipes.sound2sight_folder_laptop import RECIPE as BASE
from soundsight.training.optim import OptimConfig

MOUTH = (0.25, 0.65, 0.75, 0.95)
"""Where the mouth is in a box around a face: left, top, right and bottom edge."""

RECIPE: Recipe = dataclasses.replace(
    BASE,
    model=dataclasses.replace(
        BASE.model, seen=15, frame_channels=16, dropout=0.0, position_dropout=0.0
    ),
    clip=ClipSpec(frames=75, fps=25, size=64, channels=3, sample_rate=16_000),
    train=dataclasses.replace(
        BASE.train,
        steps=1500,
        batch_size=8,
        frames=30,
        optim={"generator": OptimConfig(lr=1e-3, clip_norm=1.0, warmup=200, schedule="cosine")},
    ),
    evaluate=dataclasses.replace(BASE.evaluate, seen=15, frames=30, region=MOUTH),
)

"""Joint generation at a laptop's size, asking that sound and picture belong together: BounceTone.

16 px, 10 fps, 1 s, 6 kHz.

Command: soundsight train joint_gan_bounce_laptop --out runs/joint
Hardware: 2 CPU cores.
Time: 16 minutes with one thread.
Score: overlap of onsets and contacts 0.67, 0.55, 0.69 (seeds 0, 1, 2; re-paired 0.38, real 0.80),
p = 0.0001 each; pitch hardly follows the place.
"""

import dataclasses
from typing import Any

from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint import JointProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import joint_gan
from soundsight.recipes import Recipe
from soundsight.recipes.joint_gan_bounce import LAPTOP_JUDGES, PHASES
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

ADAM = OptimConfig(lr=5e-4, betas=(0.5, 0.99))
RELEASED = dict.fromkeys(PHASES, ADAM) | {
    "video_discriminators": dataclasses.replace(ADAM, weight_decay=1e-5)
}
SIZES: dict[str, Any] = {
    "image_channels": 24,
    "audio_channels": 16,
    "audio_layers": 4,
    "joint_channels": 8,
    "shuffle_radius": 1,
    "image_discriminator": "full",  # It has to see that there is one ball.
}

RECIPE = Recipe(
    model=joint_gan.Config(
        **SIZES,
        position=True,
        joint_from=2000,  # Each modality first.
        ramp=500,
        noise_until=2000,
        r1_video=3.0,
        r1_audio=1.25,
        r1_spectrum=25.0,
        augment=(),  # No clip comes twice.
    ),
    data=BounceTone(clips=(100_000, 1000, 2000)),
    clip=ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=6000),
    train=TrainConfig(
        steps=6000,
        batch_size=16,
        ema=0.995,
        optim=dict.fromkeys(PHASES, ADAM),
        log_every=100,
        checkpoint_every=500,
    ),
    evaluate=JointProtocol(clips=1000, judges=LAPTOP_JUDGES),
)

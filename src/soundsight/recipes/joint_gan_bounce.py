"""Joint generation at the paper's sizes, asking that sound and picture belong together: BounceTone.

64 px, 10 fps, 1 s, 16 kHz, as Sub-URMP-Video; a matcher looks at what was generated together, the
generators share noise, and the sound sees the motion.

Command: soundsight train joint_gan_bounce --out runs/joint
Hardware: one GPU with 24 GB.
Time: not measured yet.
Score: not measured yet.
"""

import dataclasses

from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint import JointProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import joint_gan
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

ADAM = OptimConfig(lr=2e-4, betas=(0.5, 0.999))
PHASES = ("audio_discriminator", "video_discriminators", "joint_discriminators", "generators")
RELEASED = dict.fromkeys(PHASES, ADAM) | {
    "video_discriminators": dataclasses.replace(ADAM, weight_decay=1e-5)
}
"""Optimizers as in the component codes; the video generator's decay is part of its loss."""
LAPTOP_JUDGES = {
    role: f"judge_{role}_laptop" for role in ("sound", "video", "image", "pitch", "correspondence")
}

RECIPE = Recipe(
    model=joint_gan.Config(position=True),
    data=BounceTone(clips=(100_000, 1000, 10_000)),
    clip=ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16_000),
    train=TrainConfig(
        steps=100_000,
        batch_size=32,
        ema=0.999,
        optim=dict.fromkeys(PHASES, ADAM),
        checkpoint_every=2000,
    ),
    evaluate=JointProtocol(clips=5000, judges=LAPTOP_JUDGES),
)

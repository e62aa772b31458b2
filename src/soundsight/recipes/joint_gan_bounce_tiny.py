"""The joint GAN at 16 px: everything runs, nothing is learned; for tests.

Command: soundsight train joint_gan_bounce_tiny --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.joint import JointProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import joint_gan
from soundsight.recipes import Recipe
from soundsight.recipes.joint_gan_bounce import PHASES
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=joint_gan.Config(
        content=10,
        motion=4,
        sound=12,
        shared=8,
        image_channels=4,
        audio_channels=4,
        audio_layers=4,
        joint_channels=4,
        ramp=2,
        augment=(),
    ),
    data=BounceTone(clips=(64, 16, 16)),
    clip=ClipSpec(frames=8, fps=8, size=16, channels=3, sample_rate=6000),
    train=TrainConfig(
        steps=8,
        batch_size=4,
        ema=0.9,
        optim=dict.fromkeys(PHASES, OptimConfig(lr=2e-4, betas=(0.5, 0.999))),
        log_every=2,
        checkpoint_every=4,
    ),
    evaluate=JointProtocol(
        clips=16,
        reference=32,
        bins=4,
        permutations=99,
        resamples=20,
        examples=2,
        judges={"sound": "judge_sound_tiny", "video": "judge_video_tiny"},
    ),
)

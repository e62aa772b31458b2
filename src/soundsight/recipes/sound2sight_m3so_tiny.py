"""Sound2Sight on 16 px digits: everything runs, nothing is learned; for tests.

Command: soundsight train sound2sight_m3so_tiny --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

from soundsight.data.m3so import M3SO
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import sound2sight
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=sound2sight.Config(
        seen=3,
        code=16,
        z_dim=4,
        rnn_size=16,
        frame_channels=4,
        audio_channels=4,
        steps_per_epoch=4,
        gan_from_epoch=1,
    ),
    data=M3SO(canvas=16, digit=8, speeds=(1, 2), clips=(64, 16, 16)),
    clip=ClipSpec(frames=9, size=16),
    train=TrainConfig(
        steps=8,
        batch_size=4,
        optim={
            "generator": OptimConfig(lr=2e-3, clip_norm=1.0),
            "discriminator": OptimConfig(lr=2e-4, betas=(0.5, 0.999)),
        },
        log_every=2,
        checkpoint_every=4,
        validate_every=8,
    ),
    evaluate=ForecastProtocol(
        seen=3, frames=9, num_samples=3, clips=6, diversity_clips=6, examples=1, resamples=200
    ),
)

"""Sound2Sight on M3SO-NB, the paper's setting without a block (section 4, Table 1a).

5 seen frames, 15 predicted in training, 20 in the test; 48 px, 28 px digits, batches of 110.

Command: soundsight train sound2sight_m3so_nb --out runs/nb --data.digits mnist --data.mnist MNIST
Hardware: one GPU with 24 GB.
Time: not yet measured; --train.precision bfloat16 is the fast way on a GPU. Days on a CPU.
Score: the paper reports PSNR 21.69, 17.62, 16.84 at frames 6, 15, 25 (best of 100); ours is not
    measured yet.
"""

from soundsight.data.m3so import NB
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import sound2sight
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=sound2sight.Config(seen=5),
    data=NB,
    clip=ClipSpec(frames=30),
    train=TrainConfig(
        steps=72_000,
        batch_size=110,
        frames=20,
        window="first",
        ema=0.999,
        optim={
            "generator": OptimConfig(lr=1e-3, clip_norm=1.0, warmup=200),
            "discriminator": OptimConfig(lr=2e-4, betas=(0.5, 0.999), clip_norm=1.0),
        },
        validate_every=2000,
        checkpoint_every=2000,
    ),
    evaluate=ForecastProtocol(seen=5, frames=25, num_samples=100, clips=1000, batch_clips=4),
)

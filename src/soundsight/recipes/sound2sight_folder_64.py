"""Sound2Sight on a folder of your own videos, at the paper's size for real video.

64 px, colour, 25 fps, 16 kHz; 15 seen frames, 15 predicted in training, 30 in the test (section 4).

Command: soundsight train sound2sight_folder_64 --data DIR_OF_VIDEOS --out runs/mine64
Hardware: one GPU with 24 GB.
Time: depends on the videos; not yet measured.
Score: not measured yet.
"""

from soundsight.data.folder import VideoFolder
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import sound2sight
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=sound2sight.Config(seen=15, n_fft=80, hop_length=40),
    data=VideoFolder(path=""),
    clip=ClipSpec(frames=45, fps=25, size=64, channels=3, sample_rate=16_000),
    train=TrainConfig(
        steps=60_000,
        batch_size=100,
        frames=30,
        ema=0.999,
        optim={
            "generator": OptimConfig(lr=1e-3, clip_norm=1.0, warmup=200),
            "discriminator": OptimConfig(lr=2e-4, betas=(0.5, 0.999), clip_norm=1.0),
        },
        validate_every=2000,
        checkpoint_every=2000,
    ),
    evaluate=ForecastProtocol(seen=15, frames=45, num_samples=100, clips=100, batch_clips=2),
)

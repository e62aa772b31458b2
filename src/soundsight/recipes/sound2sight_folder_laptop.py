"""Sound2Sight on a folder of your own videos, at a size for a laptop.

48 px, colour, 12.5 fps, 16 kHz; 5 seen frames, 10 predicted (1.2 s in all); no discriminator.

Command: soundsight train sound2sight_folder_laptop --data DIR_OF_VIDEOS --out runs/mine
Hardware: 2 CPU cores.
Time: 7 minutes.
Score: depends on the videos; talking faces (GRID) come out still, 35.0 dB against 36.8 dB for the
    last frame kept: docs/models/sound2sight.md.
"""

from soundsight.data.folder import VideoFolder
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import sound2sight
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=sound2sight.Config(
        seen=5,
        frame_channels=24,
        audio_channels=16,
        n_fft=128,
        hop_length=64,
        discriminator="none",
        beta=1e-6,  # What moves in real video is a small part of the pixels' error.
        z_source="mix",
        posterior_share=0.8,
    ),
    data=VideoFolder(path=""),
    clip=ClipSpec(frames=15, fps=12.5, size=48, channels=3, sample_rate=16_000),
    train=TrainConfig(
        steps=2000,
        batch_size=8,
        ema=0.99,
        optim={"generator": OptimConfig(lr=1e-3, clip_norm=1.0, warmup=50, schedule="cosine")},
        checkpoint_every=100,
        validate_every=500,
    ),
    evaluate=ForecastProtocol(seen=5, frames=15, num_samples=20, clips=100, diversity_clips=20),
)

"""A judge that tells the timbre of BounceTone by its sound; for tests.

Command: soundsight train judge_sound_tiny --out runs/judge_sound_tiny
Hardware: any CPU.
Time: 4 s of one core.
Score: chance; nothing is learned in 8 steps.
"""

from soundsight.data.bounce_tone import BounceTone
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import judges
from soundsight.nn.trunks import Hearing
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=judges.ClassifierConfig(
        part="audio",
        classes=4,
        hearing=Hearing(n_fft=512, hop_length=128, n_mels=32, channels=4),
        features=16,
        dropout=0.0,
    ),
    data=BounceTone(clips=(256, 32, 32)),
    clip=ClipSpec(frames=10, fps=10, size=16, channels=3, sample_rate=6000),
    train=TrainConfig(
        steps=8,
        batch_size=8,
        optim={"judge": OptimConfig(lr=5e-3, clip_norm=1.0, warmup=2)},
        log_every=2,
        validate_every=8,
        checkpoint_every=4,
    ),
    evaluate=JudgeProtocol(clips=16, resamples=200),
)

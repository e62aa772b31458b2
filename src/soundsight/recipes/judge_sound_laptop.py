"""A judge that tells the timbre of BounceTone by its sound.

Command: soundsight train judge_sound_laptop --out runs/judge_sound_laptop
Hardware: 1 CPU core.
Time: 15 s of one core.
Score: on 500 test clips, accuracy 1.000 (majority 0.258).
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
        hearing=Hearing(n_fft=512, hop_length=64, n_mels=64, channels=16),
        dropout=0.2,
    ),
    data=BounceTone(clips=(100_000, 1000, 1000)),
    clip=ClipSpec(frames=10, fps=10, size=32, channels=3, sample_rate=8000),
    train=TrainConfig(
        steps=150,
        batch_size=32,
        optim={"judge": OptimConfig(lr=2e-3, clip_norm=1.0, warmup=20, schedule="cosine")},
        log_every=25,
    ),
    evaluate=JudgeProtocol(clips=500),
)

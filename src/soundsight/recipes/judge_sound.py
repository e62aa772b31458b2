"""A judge that tells Orchestra's instruments by their sound.

Command: soundsight train judge_sound --out runs/judge_sound
Hardware: one GPU.
Time: not measured yet.
Score: not measured yet.
"""

from soundsight.data.orchestra import Orchestra
from soundsight.evaluation.judging import JudgeProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import judges
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=judges.ClassifierConfig(part="audio", classes=13),
    data=Orchestra(clips=(100_000, 1000, 1000)),
    clip=ClipSpec(frames=16, fps=16, size=64, channels=3, sample_rate=16_000),
    train=TrainConfig(
        steps=10_000,
        batch_size=64,
        optim={"judge": OptimConfig(lr=1e-3, clip_norm=1.0, warmup=200, schedule="cosine")},
        validate_every=1000,
        checkpoint_every=1000,
    ),
    evaluate=JudgeProtocol(clips=1000),
)

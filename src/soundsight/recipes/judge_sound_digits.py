"""A judge that tells spoken digits, FSDD: of pairs with handwritten ones, see `crossmodal_gan`.

Command: soundsight train judge_sound_digits --data prepared/digits --out runs/judge_sound_digits
Hardware: 1 CPU core.
Time: 2 minutes of one core.
Score: on 1,124 test pairs of 283 recordings, accuracy 0.993 (majority 0.107).
"""

from soundsight.data.prepared import PreparedData
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
        classes=10,
        hearing=Hearing(n_fft=512, hop_length=128, n_mels=64, channels=32),
        dropout=0.2,
    ),
    data=PreparedData(path=""),
    clip=ClipSpec(frames=1, fps=1, size=32, channels=1, sample_rate=8000),
    train=TrainConfig(
        steps=600,
        batch_size=64,
        balance="class",
        optim={"judge": OptimConfig(lr=2e-3, clip_norm=1.0, warmup=20, schedule="cosine")},
        log_every=50,
    ),
    evaluate=JudgeProtocol(clips=2000),
)

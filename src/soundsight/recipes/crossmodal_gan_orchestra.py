"""Pictures of instruments from their sound at the paper's sizes, on built-in instruments: S2I-C.

Pairs of a picture of 64 px and 0.5 s of sound at 44.1 kHz, as of Sub-URMP; as many as there. As
published: `--model.fidelity paper`.

Command: soundsight train crossmodal_gan_orchestra --out runs/s2i
Hardware: one GPU with 16 GB.
Time: not measured yet.
Score: not measured yet.
"""

from soundsight.data.orchestra import Orchestra
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import crossmodal_gan
from soundsight.recipes import Recipe
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

ADAM = OptimConfig(lr=2e-4, betas=(0.5, 0.999))
"""GAN-CLS's, on which the paper builds; it gives none of its own."""
PHASES = {"encoders": OptimConfig(lr=1e-3), "discriminator": ADAM, "generator": ADAM}
JUDGES = {role: f"judge_{role}" for role in ("image", "sound", "pitch", "correspondence")}
PAIRS = ClipSpec(frames=1, fps=2, size=64, channels=3, sample_rate=44_100)
"""Of Sub-URMP."""

RECIPE = Recipe(
    model=crossmodal_gan.Config(),
    data=Orchestra(clips=(71_500, 1300, 9750)),
    clip=PAIRS,
    train=TrainConfig(
        steps=50_000,
        batch_size=64,
        ema=0.999,
        balance="class",
        optim=PHASES,
        checkpoint_every=2000,
    ),
    evaluate=CrossmodalProtocol(judges=JUDGES),
)

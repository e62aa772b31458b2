"""Pictures of instruments from their sound, as small as it gets: all runs, nothing is learned.

Command: soundsight train crossmodal_gan_tiny --out runs/tiny
Hardware: any CPU.
Time: seconds.
Score: none to speak of.
"""

from typing import Any

from soundsight.data.orchestra import Orchestra
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.media.clip import ClipSpec
from soundsight.models import crossmodal_gan
from soundsight.recipes import Recipe
from soundsight.recipes.crossmodal_gan_orchestra import PHASES
from soundsight.training.trainer import TrainConfig

MAPS: dict[str, Any] = {"n_mels": 64, "n_fft": 512, "hop_length": 128}

RECIPE = Recipe(
    model=crossmodal_gan.Config(
        encoder_steps=1,
        encoder_widths=(4, 4, 8, 8),
        encoder_hidden=16,
        encoding=16,
        condition=8,
        z=4,
        generator_channels=4,
        discriminator_channels=4,
        phase_steps=2,
        **MAPS,
    ),
    data=Orchestra(clips=(65, 26, 26)),
    clip=ClipSpec(frames=1, fps=2, size=32, channels=3, sample_rate=8000),
    train=TrainConfig(
        steps=8,
        batch_size=4,
        ema=0.9,
        balance="class",
        optim=PHASES,
        log_every=2,
        checkpoint_every=4,
    ),
    evaluate=CrossmodalProtocol(
        clips=26,
        num_samples=2,
        permutations=99,
        resamples=20,
        reference=32,
        examples=2,
        judges={"image": "judge_image_tiny", "sound": "judge_sound_tiny"},
    ),
)

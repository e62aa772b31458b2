"""What each quirk of the released Sound2Sight costs, one at a time, on small digits.

Not among them: the released learning rates and plain weights instead of their moving average, which
are no fields of the model; they are in the row `paper` of `sound2sight_table1_laptop`.

Command: soundsight compare --suite sound2sight_defects_laptop --out runs/defects --jobs 2
Hardware: 2 CPU cores.
Results: docs/results/sound2sight.md.
"""

from typing import Any

from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import SHUFFLED
from soundsight.suites import Row, Suite

FRAMES = (6, 10, 15)
BASE = "sound2sight_m3so_laptop_discriminator"
QUIRKS: dict[str, dict[str, Any]] = {
    "z_prior": {"model.z_source": "prior"},
    "frozen_encoders": {"model.train_discriminator_encoders": False},
    "bounded_logits": {"model.bounded_logits": True},
    "next_clip": {"model.negatives": "next_clip"},
    "generator_alignment": {"model.generator_alignment": True},
    "gamma_schedule": {"model.gamma": "schedule"},
    "per_step_norm": {"model.batch_norm": "per_step"},
    "linear_spectrogram": {"model.log_spectrogram": False},
    "small_linear": {"model.small_linear": True},
    "gan_from_epoch_1": {"model.gan_from_epoch": 1},
}
"""One field of the mended model set to what was released."""
POSTERIOR = {"model.z_source": "posterior"}
"""What `fixed` does at the paper's size, where the laptop recipe draws from prior and posterior."""


def claims() -> tuple[Claim, ...]:
    """The mended model is better than each of them, over the first half and late."""
    found = []
    for name in (*QUIRKS, "z_posterior"):
        found += [
            Claim(f"Better than with {name}, over the first half", "sound2sight", name,
                  "psnr_first_half", "mean"),
            Claim(f"Better than with {name}, late", "sound2sight", name, "psnr", "sequence_best",
                  FRAMES[-1]),
            Claim(f"With {name} it still listens", name, name + SHUFFLED, "psnr_first_half",
                  "mean"),
        ]  # fmt: skip
    return tuple(found)


SUITE = Suite(
    title="Sound2Sight as released, one quirk at a time",
    about=(
        "The mended Sound2Sight on small digits, and the same with one quirk of the released code "
        "at a time: the same data in the same order, the same steps, the same evaluation."
    ),
    rows=(
        Row("sound2sight", BASE),
        *(Row(name, BASE, changes) for name, changes in QUIRKS.items()),
        Row("z_posterior", BASE, POSTERIOR),
    ),
    claims=claims(),
    frames=FRAMES,
)

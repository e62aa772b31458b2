"""Sound2Sight's table 1a on 16 px digits: everything runs, nothing is learned; for tests.

Command: soundsight compare --suite sound2sight_table1_tiny --out runs/table1_tiny
Hardware: any CPU.
"""

from soundsight.suites import Row, Suite
from soundsight.suites.sound2sight_table1 import claims, row

FRAMES = (4, 6, 9)
BASE = "sound2sight_m3so_tiny"
ALONE = {"generator": {"lr": 2e-3, "clip_norm": 1.0}}
"""Optimizers of a model without a discriminator."""

SUITE = Suite(
    title="Sound2Sight, table 1a, in seconds",
    about="The rows of table 1a of Sound2Sight after a few steps: nothing is learned.",
    rows=(
        row("sound2sight", BASE),
        row("no_audio", BASE, audio=False),
        row("svg_lp", "svg_lp_m3so_tiny"),
        Row("no_discriminator", BASE, {"model.discriminator": "none", "train.optim": ALONE}),
        row("no_aa", BASE, alignment=False),
        row("no_aa_no_md", BASE, alignment=False, motion=False),
        row("lstm", BASE, temporal="lstm"),
        row("paper", BASE, fidelity="paper"),
        row("speech_driven_multiframe", "speech_driven_m3so_tiny", identity="all"),
        row("speech_driven", "speech_driven_m3so_tiny"),
        row("audio_only", "audio_only_m3so_tiny"),
        row("ddpae", "ddpae_m3so_tiny"),
    ),
    claims=claims(FRAMES[0], FRAMES[-1]),
    frames=FRAMES,
)

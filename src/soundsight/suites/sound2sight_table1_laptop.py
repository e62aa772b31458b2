"""Sound2Sight's table 1a on small digits: 32 px, 900 steps a row, up to frame 15.

Command: soundsight compare --suite sound2sight_table1_laptop --out runs/table1_laptop --jobs 2
Hardware: 2 CPU cores.
Results: docs/results/sound2sight.md.
"""

from soundsight.suites import Suite
from soundsight.suites.sound2sight_table1 import claims, row

FRAMES = (6, 10, 15)
BASE = "sound2sight_m3so_laptop_discriminator"

SUITE = Suite(
    title="Sound2Sight, table 1a, on small digits",
    about=(
        "The rows of table 1a of Sound2Sight (Chatterjee and Cherian, ECCV 2020), its ablations of "
        "figure 5a, DDPAE from table 2 and the model as it was released, at a size that two cores "
        "can train: the same data in the same order, the same steps, the same evaluation."
    ),
    rows=(
        row("sound2sight", BASE),
        row("no_audio", BASE, audio=False),
        row("svg_lp", "svg_lp_m3so_laptop"),
        row("no_discriminator", "sound2sight_m3so_laptop"),
        row("no_aa", BASE, alignment=False),
        row("no_aa_no_md", BASE, alignment=False, motion=False),
        row("lstm", BASE, temporal="lstm"),
        row("paper", "sound2sight_m3so_laptop_paper"),
        row("speech_driven_multiframe", "speech_driven_m3so_laptop_multiframe"),
        row("speech_driven", "speech_driven_m3so_laptop"),
        row("audio_only", "audio_only_m3so_laptop"),
        row("ddpae", "ddpae_m3so_laptop"),
    ),
    claims=claims(FRAMES[0], FRAMES[-1]),
    frames=FRAMES,
)

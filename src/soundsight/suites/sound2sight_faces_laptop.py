"""Does sound move the mouth? Sound2Sight and its baselines on talking faces.

Command: soundsight compare --suite sound2sight_faces_laptop --data PREPARED_FACES --out runs/faces
Hardware: 2 CPU cores.
Results: docs/results/sound2sight.md.
"""

import dataclasses

from soundsight import recipes
from soundsight.evaluation.claims import Claim
from soundsight.evaluation.forecasters import SHUFFLED
from soundsight.suites import Row, Suite

BASE = "sound2sight_faces_laptop"
FACES = recipes.load(BASE)
SETTING = (
    {f"clip.{name}": value for name, value in dataclasses.asdict(FACES.clip).items()}
    | {f"train.{name}": getattr(FACES.train, name) for name in ("steps", "batch_size", "frames")}
    | {f"evaluate.{name}": value for name, value in dataclasses.asdict(FACES.evaluate).items()}
    | {"model.seen": FACES.model.seen}
)
"""What makes the recipes for folders ones for faces."""


def claims() -> tuple[Claim, ...]:
    """On the mouth: who listens, and who is better than a still picture."""
    mouth = ("psnr_region", "mean")
    found = []
    for name, told in (("sound2sight", "Sound2Sight"), ("speech_driven", "The speech-driven GAN")):
        found += [
            Claim(f"{told} listens: its own sound helps the mouth more than another clip's", name,
                  name + SHUFFLED, *mouth),
            Claim(f"{told} draws the mouth better than keeping the last frame", name, "copy_last",
                  *mouth),
        ]  # fmt: skip
    found += [
        Claim("Sound helps the mouth", "sound2sight", "no_audio", *mouth),
        Claim("Sound2Sight is better than SVG-LP, on the mouth", "sound2sight", "svg_lp", *mouth),
        Claim("Sound2Sight is better than SVG-LP, on the whole frame", "sound2sight", "svg_lp",
              "psnr", "mean"),
        Claim("Sound2Sight is better than the speech-driven GAN, on the mouth", "sound2sight",
              "speech_driven", *mouth),
    ]  # fmt: skip
    return tuple(found)


SUITE = Suite(
    title="Talking faces: does sound move the mouth?",
    about=(
        "Sound2Sight and its baselines on talking faces that fill the frame: 15 frames are seen, "
        "15 predicted. Most of a face does not move, so the mouth is scored on its own as well."
    ),
    rows=(
        Row("sound2sight", BASE),
        Row("no_audio", BASE, {"model.audio": False}),
        Row("svg_lp", "svg_lp_folder_laptop"),
        Row("speech_driven", "speech_driven_folder_laptop"),
        Row("speech_driven_multiframe", "speech_driven_folder_laptop", {"model.identity": "all"}),
        Row("audio_only", "audio_only_folder_laptop"),
    ),
    changes=SETTING,
    claims=claims(),
    frames=(16, 23, 30),
)

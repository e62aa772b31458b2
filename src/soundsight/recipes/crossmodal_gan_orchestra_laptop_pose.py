"""Pictures of instruments from their sound that are right in pose, at a laptop's size: Orchestra.

The pose-oriented model: wrong pictures are of the same instrument at another moment, so that the
hand has to stand where the pitch says. One model of all instruments, where the paper has one of
each; and an encoder that learns to find the picture of each sound, as a classifier of instruments
hears no pitch.

Command: soundsight train crossmodal_gan_orchestra_laptop_pose --out runs/pose
Hardware: 2 CPU cores.
Time: half an hour with one thread.
Score: rank correlation of the hand's place and the sound's pitch within instruments, 1,000 pairs:
    0.87 (0.83 to 0.90; real 0.99; sounds of other instruments 0.00); instrument right 0.995.
"""

import dataclasses

from soundsight.data.orchestra import Orchestra
from soundsight.evaluation.crossmodal_scores import CrossmodalProtocol
from soundsight.media.clip import ClipSpec
from soundsight.recipes.crossmodal_gan_digits_laptop import ADAM, PHASES
from soundsight.recipes.crossmodal_gan_digits_laptop import RECIPE as BASE

JUDGES = {role: f"judge_{role}_laptop" for role in ("image", "correspondence")}

RECIPE = dataclasses.replace(
    BASE,
    model=dataclasses.replace(
        BASE.model,
        classes=13,
        encoder="matcher",
        mismatch="pose",
        mode_seeking=0.0,
        augment=False,
        n_mels=128,
        n_fft=1024,
        hop_length=256,
    ),
    data=Orchestra(clips=(26_000, 520, 1300)),
    clip=ClipSpec(frames=1, fps=2, size=32, channels=3, sample_rate=16_000),
    # Five or so of each instrument in a batch, to have wrong ones. With the discriminator's rate
    # the generator wins in its first steps, with grey pictures, and nothing is learned after that.
    train=dataclasses.replace(
        BASE.train,
        steps=16_000,
        batch_size=64,
        optim=PHASES | {"generator": dataclasses.replace(ADAM, lr=1e-4)},
    ),
    evaluate=CrossmodalProtocol(judges=JUDGES, num_samples=3),
)

"""The whole road in Python: a recipe, a training, and futures as films with sound.

The same as `soundsight train` and `soundsight sample` on the command line, with a recipe of its own
that is far too small to be good.

Run: `python examples/train_and_sample.py [FOLDER]`. Takes about ten seconds.
"""

import dataclasses
import sys
import tempfile
from pathlib import Path

from soundsight.data.m3so import M3SO
from soundsight.evaluation.scores import ForecastProtocol
from soundsight.experiment import run_training
from soundsight.media.clip import ClipSpec
from soundsight.models import sound2sight
from soundsight.recipes import Recipe
from soundsight.sampling import draw, load_run, write_futures
from soundsight.training.optim import OptimConfig
from soundsight.training.trainer import TrainConfig

RECIPE = Recipe(
    model=sound2sight.Config(seen=3, code=16, rnn_size=32, frame_channels=8, audio_channels=4),
    data=M3SO(canvas=24, digit=12, speeds=(1, 2)),
    clip=ClipSpec(frames=8, size=24),
    train=TrainConfig(
        steps=30,
        batch_size=8,
        optim={"generator": OptimConfig(lr=2e-3), "discriminator": OptimConfig(lr=2e-4)},
        seed=1,
        device="cpu",
    ),
    evaluate=ForecastProtocol(seen=3, frames=8, num_samples=3, clips=16),
)

# A variant is a few lines: here without ears.
DEAF = dataclasses.replace(RECIPE, model=dataclasses.replace(RECIPE.model, audio=False))


def main(folder: Path) -> list[Path]:
    """Train, open what was saved, and write three futures of one test clip beside the truth."""
    run_training(RECIPE, folder / "run", progress=False)

    # Everything that sampling needs lies in the run folder.
    run = load_run(folder / "run", device="cpu")
    truth = RECIPE.data.build(RECIPE.clip, "test").clips([0])
    futures = draw(run, truth.context(RECIPE.evaluate.seen), samples=3, seed=0, ids=[0])
    paths = write_futures(futures, truth, folder / "futures")
    print("\n".join(map(str, paths)))
    return paths


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))

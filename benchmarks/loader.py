"""Whether training waits for its data: what the loader delivers, and what a model takes.

`python -m benchmarks.loader` prints it. Videos of coloured noise that drifts, 64 px, are written to
a temporary folder and prepared; read back, they come from the system's cache, as a data set does
that is smaller than the memory.
"""

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks.sound2sight import median_seconds, training_step
from soundsight import recipes
from soundsight.data.folder import VideoFolder
from soundsight.data.listing import list_sources
from soundsight.data.loader import Batches, Dataset
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import prepare
from soundsight.data.prepared import PreparedData
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode
from soundsight.training.trainer import train

RECIPE = "sound2sight_folder_laptop"
SIZE = 64
WORKERS = (0, 1, 2)
SECONDS = 1.0
"""How long delivery is measured."""


def write_videos(folder: Path, spec: ClipSpec, *, number: int = 4, clips: int = 16) -> None:
    """Videos of several clips each, nothing of which is like anything else."""
    long = spec.with_frames(clips * spec.frames)
    generator = torch.Generator().manual_seed(0)
    folder.mkdir()
    for i in range(number):
        coarse = torch.rand(1, 3, long.frames // 5, 8, 8, generator=generator)
        shape = (long.frames, spec.size, spec.size)
        video = torch.nn.functional.interpolate(coarse, shape, mode="trilinear")
        audio = 0.2 * torch.randn(1, long.samples, generator=generator)
        clip = Clip(long, video=video.transpose(1, 2), audio=audio.clamp(-1, 1))
        encode(clip, folder / f"{i}.mp4", index=0, scale=1)


def data_sets(folder: Path, spec: ClipSpec) -> dict[str, Dataset]:
    """The same videos as a folder, and prepared in both codecs."""
    videos = folder / "videos"
    write_videos(videos, spec)
    plain = VideoFolder(path=str(videos), cache=str(folder / "cache"), progress=False)
    found: dict[str, Dataset] = {"folder": plain.build(spec, "train")}
    for codec in ("mp4", "raw"):
        out = str(folder / codec)
        settings = Settings(spec=spec, codec=codec)
        prepare(Plan(settings, list_sources([videos]).sources), out)
        found[f"prepared, {codec}"] = PreparedData(path=out).build(spec, "train")
    return found


def delivered(data: Dataset, workers: int, batch_size: int) -> float:
    """Clips/s that nobody but the loader holds up."""
    batches = Batches(data, batch_size, workers=workers)
    with closing(iter(batches)) as drawn:
        for _ in islice(drawn, 2 + 2 * batches.prefetch * max(1, workers)):
            pass  # Processes are under way, what was prepared ahead is used up.
        start, number = time.perf_counter(), 0
        while time.perf_counter() - start < SECONDS:
            next(drawn)
            number += 1
        return number * batch_size / (time.perf_counter() - start)


def waiting(data: Dataset, workers: int, spec: ClipSpec, run: Path) -> float:
    """Share of the time that a training waits for its data, its start left out."""
    recipe = recipes.load(RECIPE)
    config = replace(recipe.train, steps=12, log_every=6, workers=workers, device="cpu")
    document = {"train": asdict(config)}
    train(recipe.model.build(spec), data, config, run, recipe=document, progress=False)
    last = json.loads((run / "stats.jsonl").read_text().splitlines()[-1])
    return float(last["wait_s"] / last["seconds"])


def measure() -> dict[str, Any]:
    """Clips/s taken by training and delivered by the loader, and shares of time waited."""
    recipe = recipes.load(RECIPE)
    spec, batch_size = replace(recipe.clip, size=SIZE), recipe.train.batch_size
    with tempfile.TemporaryDirectory(prefix="soundsight-") as place:
        found = data_sets(Path(place), spec)
        clip = found["folder"].clips(range(batch_size))
        model = recipe.model.build(spec).to(memory_format=torch.channels_last)
        seconds = median_seconds(training_step(model, clip), 3)
        return {
            "training_clips_per_s": batch_size / seconds,
            "delivered_clips_per_s": {
                name: {str(w): delivered(data, w, batch_size) for w in WORKERS}
                for name, data in found.items()
            },
            "waiting_share": {
                str(w): waiting(found["prepared, mp4"], w, spec, Path(place) / f"run{w}")
                for w in (0, 1)
            },
        }


def told(found: Mapping[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"training takes {found['training_clips_per_s']:.1f} clips/s"]
    for name, by_workers in found["delivered_clips_per_s"].items():
        figures = ", ".join(f"{w} processes {figure:,.0f}" for w, figure in by_workers.items())
        lines.append(f"{name} delivers clips/s: {figures}")
    for w, share in found["waiting_share"].items():
        lines.append(f"training with {w} processes waits {100 * share:.1f} % of the time")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(told(measure()))

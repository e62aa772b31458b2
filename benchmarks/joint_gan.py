"""The joint GAN at the paper's sizes and at the laptop recipe's: training steps and memory.

`losses` makes every fake once and shows it to all discriminators.  The straightforward loop that it
is compared with computes the same losses one by one: for each that is about generated clips the
generators run anew.  Both train all networks, on the same batch.
"""

import dataclasses
import functools
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from soundsight import recipes
from soundsight.contract import Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.joint_gan import Config, JointGAN, fake_loss, generator_loss, real_loss
from soundsight.nn.jitter import Jitter
from soundsight.nn.pair_discriminator import Pair
from soundsight.training.memory import keep_freed_memory

LAPTOP = recipes.load("joint_gan_bounce_laptop")
PAPER = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16_000)
JOBS: dict[str, tuple[ClipSpec, int, Any]] = {
    "paper sizes, B=4": (PAPER, 4, Config()),
    "laptop recipe, B=16": (LAPTOP.clip, LAPTOP.train.batch_size, LAPTOP.model),
}
SAME: dict[str, Any] = {"augment": (), "noise": 0.0, "shuffle_radius": 0, "r1_every": 1000}
"""What costs the same either way is left out."""
Make = Callable[[], Pair]
"""Runs the generators."""


def build(spec: ClipSpec, config: Config) -> JointGAN:
    """The model, with its matcher at work from the first step."""
    torch.manual_seed(0)
    return dataclasses.replace(config, ramp=0, joint_from=0, **SAME).build(spec)


def batch(spec: ClipSpec, clips: int) -> Clip:
    """Random pixels and sound: speed does not depend on what is seen."""
    generator = torch.Generator().manual_seed(0)
    size = (clips, spec.frames, spec.channels, spec.size, spec.size)
    video = torch.rand(size, generator=generator)
    return Clip(spec, video, torch.rand(clips, spec.samples, generator=generator) * 2 - 1)


def adams(model: JointGAN) -> dict[str, torch.optim.Adam]:
    """One optimizer a phase."""
    return {n: torch.optim.Adam(m.parameters(), 2e-4) for n, m in model.phases().items()}


def shared_step(model: JointGAN, clip: Clip) -> Callable[[], None]:
    """One step of all phases, as the trainer does it."""
    optimizers = adams(model)
    phases = {name: list(module.parameters()) for name, module in model.phases().items()}

    def step() -> None:
        generator = torch.Generator().manual_seed(0)
        for name, loss in model.losses(clip, step=1, generator=generator):
            loss.total.backward(inputs=phases[name])
            optimizers[name].step()
            optimizers[name].zero_grad()

    return step


def plain_step(model: JointGAN, clip: Clip) -> Callable[[], None]:
    """The same losses, each with generators and discriminators run for it alone."""
    optimizers, (a, v), generator = adams(model), model.real(clip), torch.Generator()
    d_a, d_v = model.audio_discriminator, model.video_discriminators
    matcher: Any = model.joint_discriminators["match"]

    def ears(loss: Callable[[Tensor], Tensor], sound: Tensor) -> Tensor:
        return torch.stack([loss(said) for said in d_a(sound, None).values()]).sum()

    def match(sound: Tensor, video: Tensor) -> Tensor:
        return matcher(Pair(model.sound(sound), video), Jitter(generator))["match_nce"]

    terms: dict[str, list[Callable[[Make], Tensor]]] = {
        "audio_discriminator": [
            lambda make: 0.5 * (ears(real_loss, a) + ears(fake_loss, make().audio))
        ],
        "video_discriminators": [
            lambda make: (
                real_loss(d_v["image"](v[:, 0], None))
                + fake_loss(d_v["image"](make().video[:, 0], None))
            ),
            lambda make: (
                real_loss(d_v["video"](v, None)) + fake_loss(d_v["video"](make().video, None))
            ),
        ],
        "joint_discriminators": [lambda make: match(a, v)],
        "generators": [
            lambda make: ears(generator_loss, make().audio),
            lambda make: generator_loss(d_v["image"](make().video[:, 0], None)),
            lambda make: generator_loss(d_v["video"](make().video, None)),
            lambda make: match(*make()),
        ],
    }

    def step() -> None:
        generator.manual_seed(0)
        for phase, losses in terms.items():
            parameters = list(model.phases()[phase].parameters())

            def make(learning: bool = phase == "generators") -> Pair:
                with torch.set_grad_enabled(learning):
                    return model.fakes(len(clip), generator)

            for loss in losses:
                loss(make).backward(inputs=parameters)
            optimizers[phase].step()
            optimizers[phase].zero_grad()

    return step


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of a call after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(repeats: int = 5) -> dict[str, Any]:
    """Clips/s of both ways of training and of sampling, and the peak memory of each way."""
    found: dict[str, Any] = {}
    for job, (spec, clips, config) in JOBS.items():
        clip, model = batch(spec, clips), build(spec, config)
        latents = model.latents(Streams(0, range(clips)), 1, spec.frames)
        sampling = functools.partial(model.generate, latents)
        rates = {
            "train_clips_per_s": clips / seconds(shared_step(model, clip), repeats),
            "plain_clips_per_s": clips / seconds(plain_step(model, clip), repeats),
            "sample_clips_per_s": clips / seconds(sampling, repeats),
        }
        del model, sampling
        gc.collect()
        memory = {way: peak_megabytes(job, way) for way in ("shared", "plain")}
        found[job] = rates | {"peak_memory_mb": memory}
    return found


def peak_megabytes(job: str, way: str) -> float:
    """Peak memory of a process of its own that makes three steps."""
    command = [sys.executable, "-m", "benchmarks.joint_gan", job, way]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main(job: str, way: str) -> None:
    """Three steps of one way, and the process's peak memory on stdout, MB."""
    keep_freed_memory()
    spec, clips, config = JOBS[job]
    make = {"shared": shared_step, "plain": plain_step}[way]
    step = make(build(spec, config), batch(spec, clips))
    for _ in range(3):
        step()
    status = Path("/proc/self/status").read_text()
    print(next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])

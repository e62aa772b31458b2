"""The joint GAN at the paper's sizes: training steps and memory.

`losses` makes every fake once and shows it to all discriminators, which look at each sound and each
video once however many pairs they are asked about.  The straightforward loop that it is compared
with computes the same losses one by one: for each of them the generators run anew, and the joint
discriminators look at both parts of each pair anew.  Both train all networks, on the same batch.
"""

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

from soundsight.contract import Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.joint_gan import (
    Config,
    JointGAN,
    discriminator_1_loss,
    discriminator_2_loss,
    fake_loss,
    generator_loss,
    real_loss,
)
from soundsight.training.memory import keep_freed_memory

PAPER = ClipSpec(frames=10, fps=10, size=64, channels=3, sample_rate=16_000)
LAPTOP = ClipSpec(frames=10, fps=10, size=32, channels=3, sample_rate=6000)
JOBS: dict[str, tuple[ClipSpec, int, dict[str, Any]]] = {
    "paper sizes, B=4": (PAPER, 4, {}),
    "laptop sizes, B=16": (
        LAPTOP,
        16,
        {"image_channels": 16, "audio_channels": 16, "joint_channels": 8},
    ),
}
SAME = {"augment": (), "noise": 0.0, "shuffle_radius": 0, "r1_every": 1000}
"""What costs the same either way is left out."""


def build(spec: ClipSpec, **changes: Any) -> JointGAN:
    """The model, with both joint discriminators at work from the first step."""
    torch.manual_seed(0)
    return Config(**{"ramp": 0} | SAME | changes).build(spec)


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
    optimizers, real, generator = adams(model), model.real(clip), torch.Generator()
    d_a, d_v, d = model.audio_discriminator, model.video_discriminators, model.joint_discriminators

    def judge(name: str, sound: Tensor, video: Tensor) -> Tensor:
        net: Any = d[name]
        return net.join(net.hear(model.sound(sound), None), net.see(video))[:, 0]

    def ears(loss: Callable[[Tensor], Tensor], sound: Tensor) -> Tensor:
        return torch.stack([loss(said) for said in d_a(sound, None).values()]).sum()

    def terms() -> dict[str, list[Callable[[Any], Tensor]]]:
        a, v = real
        return {
            "audio_discriminator": [
                lambda f: 0.5 * (ears(real_loss, a) + ears(fake_loss, f.audio))
            ],
            "video_discriminators": [
                lambda f: (
                    real_loss(d_v["image"](v[:, 0], None))
                    + fake_loss(d_v["image"](f.video[:, 0], None))
                ),
                lambda f: real_loss(d_v["video"](v, None)) + fake_loss(d_v["video"](f.video, None)),
            ],
            "joint_discriminators": [
                lambda f: discriminator_1_loss(
                    judge("d1", a, v),
                    [
                        judge("d1", f.audio, v),
                        judge("d1", a, f.video),
                        judge("d1", f.audio, f.video),
                    ],
                    average=True,
                ),
                lambda f: discriminator_2_loss(judge("d2", f.audio, v), judge("d2", a, f.video)),
            ],
            "generators": [
                lambda f: ears(generator_loss, f.audio),
                lambda f: generator_loss(d_v["image"](f.video[:, 0], None)),
                lambda f: generator_loss(d_v["video"](f.video, None)),
                lambda f: generator_loss(judge("d1", f.audio, v)),
                lambda f: generator_loss(judge("d1", a, f.video)),
                lambda f: generator_loss(judge("d1", f.audio, f.video)),
                lambda f: 0.1 * fake_loss(judge("d2", f.audio, v)),
                lambda f: 0.1 * real_loss(judge("d2", a, f.video)),
            ],
        }

    def step() -> None:
        generator.manual_seed(0)
        for phase, losses in terms().items():
            parameters = list(model.phases()[phase].parameters())
            for loss in losses:
                with torch.set_grad_enabled(phase == "generators"):
                    fake = model.fakes(len(clip), generator)
                loss(fake).backward(inputs=parameters)
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
    for job, (spec, clips, sizes) in JOBS.items():
        clip, model = batch(spec, clips), build(spec, **sizes)
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
    spec, clips, sizes = JOBS[job]
    make = {"shared": shared_step, "plain": plain_step}[way]
    step = make(build(spec, **sizes), batch(spec, clips))
    for _ in range(3):
        step()
    status = Path("/proc/self/status").read_text()
    print(next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) / 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Sound2Sight at the paper's sizes: training steps, sampling, memory, achieved arithmetic.

Every ratio compares two ways of computing the same thing on the same batch in the same run.  The
published implementation's figures (48 px, float32, 2 idle cores of the same kind of machine) are
constants, for scale.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tests.reference import sound2sight as reference
from torch.utils.flop_counter import FlopCounterMode

from soundsight.contract import Streams
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.sound2sight import Config, Sound2Sight
from soundsight.training.memory import keep_freed_memory

PUBLISHED = {
    "train B=16 T=20": 101.0,
    "train B=8 T=60": 39.0,
    "sample 16x20 T=20": 33.0,
    "sample 8x20 T=60": 2.0,
}
"""Frames/s in training, clips (futures)/s in sampling."""
SEEN = 5
MOST_SECONDS = 90.0


def median_seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median time of a call after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        if sum(times) > MOST_SECONDS:
            break
    return statistics.median(times)


def build(frames: int, **changes: Any) -> Sound2Sight:
    """The paper's sizes at 48 px, with the adversarial game on from the start."""
    torch.manual_seed(0)
    config = Config(**{"fidelity": "paper", "seen": SEEN, "gan_from_epoch": 0} | changes)
    model = config.build(ClipSpec(frames))
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def batch(clips: int, frames: int) -> Clip:
    """Random pixels and sound: speed does not depend on what is seen."""
    spec = ClipSpec(frames)
    generator = torch.Generator().manual_seed(0)
    video = torch.rand(clips, frames, 1, 48, 48, generator=generator)
    return Clip(spec, video, torch.rand(clips, spec.samples, generator=generator) * 2 - 1)


def training_step(model: Sound2Sight, clip: Clip, precision: str = "float32") -> Callable[[], None]:
    """One step of both phases, as the trainer does it."""
    phases = {name: list(module.parameters()) for name, module in model.phases().items()}
    adams = {name: torch.optim.Adam(p, 2e-3) for name, p in phases.items()}

    def step() -> None:
        losses = model.losses(clip, step=0, generator=torch.Generator().manual_seed(0))
        while True:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                name, loss = next(losses, (None, None))
            if name is None or loss is None:
                return
            loss.total.backward(inputs=phases[name])
            adams[name].step()
            adams[name].zero_grad()

    return step


def loop_step(model: Sound2Sight, clip: Clip) -> Callable[[], None]:
    """The same step as a plain loop over time: growing prefixes, frames encoded twice."""
    phases = {name: list(module.parameters()) for name, module in model.phases().items()}
    adams = {name: torch.optim.Adam(p, 2e-3) for name, p in phases.items()}
    assert clip.video is not None
    x = clip.video.transpose(0, 1)
    n, b = len(x) - 1, x.shape[1]

    def step() -> None:
        chunks = model.chunks(clip)
        noise = torch.randn(n, b, model.config.z_dim)
        told = reference.teacher_forced(model, x, chunks, noise, torch.zeros(b, 1) > 0)
        generator, discriminator = reference.adversarial_losses(model, x, told[0], chunks)
        total = reference.generator_loss(model, x, *told) + 1e-4 * generator
        total.backward(inputs=phases["generator"])
        adams["generator"].step()
        discriminator.backward()
        adams["discriminator"].step()
        for adam in adams.values():
            adam.zero_grad()

    return step


def training(clips: int, frames: int, repeats: int) -> dict[str, float]:
    """Frames/s of our step, the loop, and bfloat16; achieved GFLOP/s."""
    clip, result = batch(clips, frames), {}
    step = training_step(build(frames), clip)
    counter = FlopCounterMode(display=False)
    with counter:
        step()
    seconds = median_seconds(step, repeats)
    result["frames_per_s"] = clips * frames / seconds
    result["gflop_per_s"] = counter.get_total_flops() / seconds / 1e9
    result["gflop_per_step"] = counter.get_total_flops() / 1e9
    pooled = median_seconds(training_step(build(frames, fidelity="fixed"), clip), repeats)
    result["fixed_frames_per_s"] = clips * frames / pooled
    half = median_seconds(training_step(build(frames), clip, "bfloat16"), repeats)
    result["bfloat16_frames_per_s"] = clips * frames / half
    loop = median_seconds(loop_step(build(frames), clip), max(1, repeats // 3))
    result["loop_frames_per_s"] = clips * frames / loop
    result["ratio_to_loop"] = loop / seconds
    return result


def sampling(clips: int, futures: int, frames: int, repeats: int) -> dict[str, float]:
    """Futures/s, batched, against one at a time; achieved GFLOP/s."""
    model = build(frames).eval()
    given = batch(clips, frames).context(SEEN)

    def draw() -> Clip:
        return model.sample(given, num_samples=futures, generator=Streams(0, range(clips)))

    counter = FlopCounterMode(display=False)
    with counter:
        draw()
    seconds = median_seconds(draw, repeats)
    one = given[:1]
    single = median_seconds(
        lambda: model.sample(one, num_samples=1, generator=Streams(0, [0])), 2 * repeats
    )
    return {
        "clips_per_s": clips * futures / seconds,
        "single_clips_per_s": 1 / single,
        "ratio_to_single": single * clips * futures / seconds,
        "gflop_per_s": counter.get_total_flops() / seconds / 1e9,
    }


def loop_rollout(frames: int) -> float:
    """Futures/s of the plain loop that encodes everything anew at every step."""
    model = build(frames).eval()
    clip = batch(1, frames)
    assert clip.video is not None
    noise = torch.randn(frames - 1, 1, model.config.z_dim)
    chunks = model.chunks(clip)
    start = time.perf_counter()
    reference.rollout(model, clip.video[:, :SEEN], chunks, noise)
    return 1 / (time.perf_counter() - start)


def convolution_peak() -> float:
    """GFLOP/s of this machine's best float32 convolution of the model's kind."""
    best = 0.0
    for channels, out, size in ((128, 256, 12), (64, 128, 24), (256, 512, 8)):
        conv = torch.nn.Conv2d(channels, out, 4, 2, 1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.rand(256, channels, size, size).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            seconds = median_seconds(lambda conv=conv, x=x: conv(x), 9)
        flops = 2 * 256 * (size // 2) ** 2 * 16 * channels * out
        best = max(best, flops / seconds / 1e9)
    return best


def in_own_process(job: str) -> float:
    """What a job of `JOBS` or `SPEEDS` prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.sound2sight", job]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_peak_memory() -> float:
    """Peak resident memory of this process, MB (Linux; getrusage would count its parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status does not tell the peak memory")


def step_speed(keep: bool) -> float:
    """Training frames/s at B=16, T=20 with freed memory kept or given back."""
    if keep:
        keep_freed_memory()
    return 16 * 20 / median_seconds(training_step(build(20), batch(16, 20)), 5)


JOBS: dict[str, Callable[[], Any]] = {
    "import": lambda: None,
    "train B=16 T=20": lambda: training_step(build(20), batch(16, 20))(),
    "train B=8 T=60": lambda: training_step(build(60), batch(8, 60))(),
    "sample 1x100 T=20": lambda: build(20).sample(
        batch(1, 20).context(SEEN), num_samples=100, generator=Streams(0, [0])
    ),
    "sample 8x20 T=60": lambda: build(60).sample(
        batch(8, 60).context(SEEN), num_samples=20, generator=Streams(0, range(8))
    ),
}


SPEEDS = {"kept": True, "given back": False}
"""What is done with freed memory."""


def measure(repeats: int = 5) -> dict[str, Any]:
    """Everything, as a dictionary of figures."""
    return {
        "published": PUBLISHED,
        "convolution_peak_gflop_per_s": convolution_peak(),
        "train B=16 T=20": training(16, 20, repeats),
        "train B=8 T=60": training(8, 60, max(1, repeats // 2)),
        "sample 16x20 T=20": sampling(16, 20, 20, max(2, repeats // 2)),
        "sample 8x20 T=60": sampling(8, 20, 60, max(2, repeats // 2)),
        "sample 1x100 T=20": sampling(1, 100, 20, repeats),
        "loop_rollout_clips_per_s T=20": loop_rollout(20),
        "peak_memory_mb": {job: in_own_process(job) for job in JOBS},
        "freed_memory_frames_per_s": {speed: in_own_process(speed) for speed in SPEEDS},
    }


if __name__ == "__main__":
    if sys.argv[1] in SPEEDS:
        print(step_speed(SPEEDS[sys.argv[1]]))
    else:
        JOBS[sys.argv[1]]()
        print(own_peak_memory())

"""How fast M3SO is made, on one core: `python -m benchmarks.m3so [--json FILE]`.

Goal: 1,500 clips of 60 frames at 48 px per second and core, as `Clip`s of float32.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from soundsight.data.m3so import BLOCK, M3SO, NB, TINY
from soundsight.media.clip import ClipSpec

CASES: dict[str, tuple[M3SO, ClipSpec]] = {
    "NB, 60 frames": (NB, ClipSpec(frames=60)),
    "NB": (NB, ClipSpec(frames=30)),
    "BLOCK": (BLOCK, ClipSpec(frames=70)),
    "TINY": (TINY, ClipSpec(frames=20, size=32)),
    "two digits": (M3SO(num_digits=2), ClipSpec(frames=30)),
}


def measure(*, batch: int = 110, repeats: int = 7) -> dict[str, dict[str, float]]:
    """Clips per second in one thread, the median of several runs.

    Args:
        batch: clips made per call (the paper's batch: 110).
        repeats: runs per figure.

    Returns:
        By case: `clips_per_s` (float32 `Clip`s), `arrays_per_s` (uint8 frames and sound) and
        `truth_per_s` (motion only).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {
            name: _measure(config, spec, batch, repeats) for name, (config, spec) in CASES.items()
        }
    finally:
        torch.set_num_threads(threads)


def _measure(config: M3SO, spec: ClipSpec, batch: int, repeats: int) -> dict[str, float]:
    data = config.build(spec, "train")

    def rate(make: Callable[[range], object]) -> float:
        make(range(batch))  # Reads the digits.
        times = []
        for run in range(repeats):
            indices = range(run * batch, (run + 1) * batch)
            start = time.perf_counter()
            make(indices)
            times.append(time.perf_counter() - start)
        return batch / statistics.median(times)

    return {
        "clips_per_s": rate(data.clips),
        "arrays_per_s": rate(data.arrays),
        "truth_per_s": rate(data.truth),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--batch", type=int, default=110, help="clips per call")
    arguments = parser.parse_args()
    figures = measure(batch=arguments.batch)
    columns = list(next(iter(figures.values())))
    lines = [f"{'M3SO':16}" + "".join(f"{column:>14}" for column in columns)]
    for name, row in figures.items():
        lines.append(f"{name:16}" + "".join(f"{row[column]:14,.0f}" for column in columns))
    sys.stdout.write("\n".join(lines) + "\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

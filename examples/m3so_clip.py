"""Make a clip of the built-in world, look at its laws, and write it as a film with sound.

Run: `python examples/m3so_clip.py [FOLDER]`. Takes about two seconds.
"""

import sys
import tempfile
from pathlib import Path

from soundsight.data.m3so import BLOCK
from soundsight.media.clip import ClipSpec
from soundsight.media.io import encode, probe


def main(folder: Path) -> Path:
    """Write one test clip of M3SO as an mp4 and return its path."""
    spec = ClipSpec(frames=70, fps=10.0, size=48, channels=1, sample_rate=4400)
    dataset = BLOCK.build(spec, split="test")

    # Clip 3 of the test split: the same one on every machine.
    clip, truth = dataset.clips([3]), dataset.truth([3])
    print(f"digit {truth.classes[0, 0]}, {spec.frames} frames, {spec.seconds:g} s")
    for t in range(spec.frames):
        if truth.block_hit[0, t] or truth.wall_hit[0, t]:
            what = "block" if truth.block_hit[0, t] else "wall"
            print(f"  between frame {t + 1} and {t + 2}: bounces off the {what}")

    # Eight times as large, for looking at.
    folder.mkdir(parents=True, exist_ok=True)
    path = encode(clip, folder / "m3so.mp4", scale=8)
    info = probe(path)
    print(f"{path}: {info.width} x {info.height}, {info.seconds:.1f} s, sound {info.has_audio}")
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))

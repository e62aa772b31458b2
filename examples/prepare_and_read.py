"""From raw films to a data set, and back: with the library, and with nothing but tar and JSON.

The same as `soundsight prepare films prepared ...` and `soundsight check prepared`. The films are
made here; put your own folder in their place.

Run: `python examples/prepare_and_read.py [FOLDER]`. Takes about ten seconds.
"""

import json
import sys
import tarfile
import tempfile
from pathlib import Path

from soundsight.data.check import check, render
from soundsight.data.listing import list_sources
from soundsight.data.loader import Batches
from soundsight.data.m3so import TINY
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import PreparedData
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

SPEC = ClipSpec(frames=10, fps=10, size=32, channels=1, sample_rate=4400)


def make_films(folder: Path, number: int = 8) -> Path:
    """Films of four seconds, and one file that is none."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = TINY.build(SPEC.with_frames(40), "train").clips(range(number))
    for i in range(number):
        encode(clips, folder / f"film_{i}.mp4", index=i, scale=4)
    (folder / "broken.mp4").write_text("this is no film")
    return folder


def read_with_library(folder: Path) -> Clip:
    """The first batch of a training."""
    data = PreparedData(path=str(folder)).build(SPEC, "train")
    _, clip = next(iter(Batches(data, batch_size=4, prefetch=0)))
    return clip


def read_with_tar(folder: Path) -> dict[str, dict[str, bytes]]:
    """Every clip of the training split: its members' bytes by suffix, by the clip's key."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                key, suffix = member.name.split(".")
                found.setdefault(key, {})[suffix] = shard.extractfile(member).read()
    return found


def main(folder: Path) -> Clip:
    """Prepare, check, and read."""
    films = make_films(folder / "films")
    listing = list_sources([films])  # Or a CSV, or soundsight.data.layouts.read(NAME, [ROOT]).
    plan = Plan(Settings(spec=SPEC), listing.sources, listing.notes)
    summary = prepare(plan, str(folder / "prepared"), engine=Engine(workers=2))
    print("clips:", summary["clips"]["splits"], "not usable:", summary["sources"]["bad"])
    print(render(check(folder / "prepared")))

    for key, members in read_with_tar(folder / "prepared").items():
        about = json.loads(members["json"])
        print(key, about["source"], about["start_s"], {s: len(d) for s, d in members.items()})
    return read_with_library(folder / "prepared")


if __name__ == "__main__":  # Processes are spawned: they import this file.
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()))

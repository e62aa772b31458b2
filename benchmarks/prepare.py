"""How fast raw videos become a data set, and how fast that is read: `python -m benchmarks.prepare`.

Videos are made for it: a drifting picture with grain, in the sizes of phones, of the web and of old
corpora, and a sound. What is compared is measured in the same run on the same files:

- source frames prepared per second in one process (decoding, cutting, measuring, encoding, writing;
  without the report's page), and decoded by a bare PyAV loop over pictures and sound;
- two processes and one, once all of them have done their first sources;
- clips read at random from the prepared data, and decoded at random from the videos;
- the peak memory of a process that prepares a short and a long video.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import torch

from soundsight.data.listing import list_sources
from soundsight.data.measure import Filters
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import PreparedData
from soundsight.media.clip import ClipSpec
from soundsight.media.io import decode

SPEC = ClipSpec(frames=15, fps=10.0, size=64, channels=3, sample_rate=16_000)
"""Clips of 1.5 s."""
KEEP_ALL = Filters(silence_db=None, static=None, cut=None, clipped=None, duplicates=False)
COPIES, WARM_UP = 24, 3
"""Names under which a video is prepared by one process and by two; sources left out of account for
each process, which is slower with its first ones."""


class Footage(NamedTuple):
    """A kind of video."""

    width: int
    height: int
    fps: int
    codec: str
    suffix: str
    seconds: int


FOOTAGE = {
    "1080p h264, 30 fps": Footage(1920, 1080, 30, "libx264", ".mp4", 8),
    "720p h264, 30 fps": Footage(1280, 720, 30, "libx264", ".mp4", 15),
    "480p h264, 25 fps": Footage(854, 480, 25, "libx264", ".mp4", 24),
    "360x288 mpeg1, 25 fps": Footage(360, 288, 25, "mpeg1video", ".mpg", 40),
}


def write_video(path: Path, kind: Footage, *, seed: int = 0) -> Path:
    """A drifting picture with fine structure and grain, and a sound that wanders."""
    rng = np.random.default_rng(seed)
    w, h, rate = kind.width, kind.height, 48_000
    coarse = rng.integers(0, 256, (h // 8 + 40, w // 8 + 40, 3), dtype=np.uint8)
    ground = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    grain = rng.integers(0, 12, (4, h, w, 1), dtype=np.uint8)
    with av.open(str(path), "w") as out:
        v = out.add_stream(kind.codec, rate=kind.fps)
        v.width, v.height, v.pix_fmt = w, h, "yuv420p"
        if kind.codec == "libx264":
            v.options = {"preset": "veryfast", "crf": "23"}
        else:
            v.bit_rate = 1_500_000
        a = out.add_stream("aac" if path.suffix == ".mp4" else "mp2", rate=rate, layout="stereo")
        convert = av.AudioResampler(a.codec_context.format, "stereo", rate)
        for k in range(kind.seconds * kind.fps):
            if k % kind.fps == 0:
                for piece in convert.resample(_sound(k // kind.fps, rate)):
                    out.mux(a.encode(piece))
            x, y = (round(150 + 140 * np.sin(k / period)) for period in (23, 37))
            image = ground[y : y + h, x : x + w] // 2 + grain[k % 4] + 40
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts = k
            out.mux(v.encode(frame))
        for stream in (v, a):
            out.mux(stream.encode(None))
    return path


def _sound(second: int, rate: int) -> av.AudioFrame:
    """A second of stereo sound."""
    t = second + np.arange(rate) / rate
    wave = 0.3 * np.sin(2 * np.pi * (300 * t + 40 * np.sin(3 * t)))
    samples = (np.stack([wave, wave], 1).reshape(1, -1) * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), second * rate
    return frame


def bare_loop(path: Path) -> tuple[int, float]:
    """Frames, and seconds that PyAV takes to decode pictures and sound in one thread."""
    start, frames = time.perf_counter(), 0
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.codec_context.thread_type, video.codec_context.thread_count = "NONE", 1
        for frame in container.decode(video, audio):
            frames += isinstance(frame, av.VideoFrame)
    return frames, time.perf_counter() - start


def timed(folder: Path, out: Path, workers: int, **settings: Any) -> list[tuple[float, int]]:
    """Prepare a folder; when each source was read, and at last all was written: (time, clips)."""
    events: list[tuple[float, int]] = []
    plan = Plan(Settings(spec=SPEC, filters=KEEP_ALL, **settings), list_sources([folder]).sources)
    prepare(
        plan,
        str(out),
        engine=Engine(workers=workers),
        watch=lambda what, done, of, clips: events.append((time.perf_counter(), clips)),
    )
    return events


def against_bare(folder: Path, kind: Footage) -> dict[str, float]:
    """Source frames per second: bare, and prepared in either codec; the best of three each."""
    videos = folder / "videos"
    videos.mkdir(parents=True)
    path = write_video(videos / f"0{kind.suffix}", kind)
    found: dict[str, list[float]] = {"bare": [], "mp4": [], "raw": []}
    for run in range(3):
        frames, seconds = bare_loop(path)
        found["bare"].append(frames / seconds)
        for codec in ("mp4", "raw"):
            events = timed(videos, folder / f"{codec}{run}", 0, codec=codec)
            found[codec].append(frames / (events[-1][0] - events[0][0]))
    return {name: max(rates) for name, rates in found.items()}


def two_processes(folder: Path, video: Path) -> dict[str, float]:
    """Sources per second by one process and by two, once all of them are warm."""
    videos = folder / "videos"
    videos.mkdir(parents=True)
    for i in range(COPIES):
        os.link(video, videos / f"{i:02d}{video.suffix}")
    rates: dict[str, float] = {}
    for workers in (1, 2):
        events = timed(videos, folder / f"out{workers}", workers)
        read = events[WARM_UP * workers : COPIES + 1]  # Event 0 is the beginning.
        rates[str(workers)] = (len(read) - 1) / (read[-1][0] - read[0][0])
    return rates


def reading(folder: Path, videos: Path) -> dict[str, float]:
    """Clips per second at random: from either codec, and decoded from the videos."""
    rates: dict[str, float] = {}
    rng = np.random.default_rng(0)
    files = sorted(videos.iterdir())
    starts = rng.uniform(0, 10, 12)
    start = time.perf_counter()
    for i, at in enumerate(starts):
        decode(files[i % len(files)], SPEC, start_s=float(at))
    rates["videos"] = len(starts) / (time.perf_counter() - start)
    for codec in ("mp4", "raw"):
        timed(videos, folder / codec, 0, codec=codec, fractions=(0.0, 0.0))
        data = PreparedData(path=str(folder / codec)).build(SPEC, "train")
        order = rng.integers(0, len(data), 600).tolist()
        data.clips(order[:50])
        start = time.perf_counter()
        for i in range(0, len(order), 8):
            data.clips(order[i : i + 8])
        rates[codec] = len(order) / (time.perf_counter() - start)
    return rates


MEMORY = """
import sys
from benchmarks.prepare import timed
from pathlib import Path
timed(Path(sys.argv[1]), Path(sys.argv[2]), 0)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) / 1024)
"""


def memory(folder: Path, seconds: tuple[int, int]) -> dict[str, float]:
    """Peak resident memory, MB, of a process that prepares one video of each length."""
    peaks: dict[str, float] = {}
    for length in seconds:
        videos = folder / str(length)
        videos.mkdir(parents=True)
        write_video(videos / "0.mp4", Footage(160, 120, 10, "libx264", ".mp4", length))
        words = [sys.executable, "-c", MEMORY, str(videos), str(folder / f"out{length}")]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks[f"{length / 60:g} min"] = float(done.stdout)
    return peaks


def measure(*, long_s: int = 1200) -> dict[str, Any]:
    """All figures.

    Args:
        long_s: duration of the long video, seconds.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            bare = {
                name: against_bare(folder / str(i), kind)
                for i, (name, kind) in enumerate(FOOTAGE.items())
            }
            middle = list(FOOTAGE).index("720p h264, 30 fps")
            video = folder / str(middle) / "videos" / "0.mp4"
            return {
                "source_frames_per_s": bare,
                "sources_per_s_by_processes": two_processes(folder / "two", video),
                "clips_read_per_s": reading(folder / "read", video.parent),
                "peak_memory_mb": memory(folder / "memory", (60, long_s)),
            }
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=1)
    print()

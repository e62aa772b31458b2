"""Order, windows, resuming, prefetching, processes and balance of batches."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from soundsight.data.folder import VideoFolder
from soundsight.data.listing import list_sources
from soundsight.data.loader import Batches, Dataset
from soundsight.data.m3so import TINY
from soundsight.data.measure import Filters
from soundsight.data.plan import Plan, Settings
from soundsight.data.prepare import Engine, prepare
from soundsight.data.prepared import PreparedData
from soundsight.media.clip import Clip, ClipSpec
from soundsight.media.io import encode

# On a machine with fewer cores than that, torch says that these are many processes.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")


@dataclass
class Counting:
    """Clip i shows 100 i + t in frame t and sounds the same; labels are the indices.

    It was cut from recording i // 2, where it begins at second 10 i.
    """

    number: int
    spec: ClipSpec = field(
        default_factory=lambda: ClipSpec(frames=6, fps=1.0, size=1, sample_rate=2)
    )
    torn: int | None = None
    asked: list[list[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.number

    def clips(self, indices: Sequence[int]) -> Clip:
        self.asked.append(list(indices))
        if self.torn in indices:
            raise OSError(f"clip {self.torn} is torn")
        label = torch.tensor(list(indices), dtype=torch.int64)
        frames = 100.0 * label[:, None] + torch.arange(self.spec.frames)
        return Clip(
            self.spec,
            video=frames[:, :, None, None, None].float(),
            audio=frames.repeat_interleave(2, dim=1).float(),
            label=label,
            source=label // 2,
            start=10.0 * label.double(),
        )


def stream(batches: Batches, number: int) -> list[int]:
    return [label for batch in labels(batches, number) for label in batch]


def labels(batches: Batches, number: int) -> list[list[int]]:
    steps, clips = zip(*islice(batches, number), strict=True)
    assert list(steps) == list(range(batches.start, batches.start + number))
    return [clip.label.tolist() for clip in clips]


def same(a: Clip, b: Clip) -> bool:
    return all(torch.equal(x, b.parts()[name]) for name, x in a.parts().items())


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 23])
def test_every_epoch_visits_every_clip_once_whatever_the_batch_size(batch_size):
    visits = stream(Batches(Counting(10), batch_size, seed=3), 40 // batch_size + 1)
    epochs = [visits[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_the_stream_of_clips_is_cut_into_batches_of_the_asked_size():
    assert stream(Batches(Counting(10), 3), 10) == stream(Batches(Counting(10), 5), 6)


def test_order_depends_on_the_seed():
    assert labels(Batches(Counting(10), 4, seed=0), 5) == labels(Batches(Counting(10), 4), 5)
    assert labels(Batches(Counting(10), 4, seed=0), 5) != labels(
        Batches(Counting(10), 4, seed=1), 5
    )


def test_orders_are_uniform():
    first = Counter(Batches(Counting(4), 1, seed=seed).indices(0)[0] for seed in range(2000))
    assert all(abs(first[i] - 500) < 100 for i in range(4))  # 5 standard deviations.


@pytest.mark.parametrize("prefetch", [0, 1, 4])
@pytest.mark.parametrize("window", ["random", "first"])
def test_a_start_in_the_middle_continues_the_same_run(prefetch, window):
    whole = Batches(Counting(10), 4, seed=5, frames=3, window=window)
    resumed = Batches(Counting(10), 4, seed=5, frames=3, window=window, start=6, prefetch=prefetch)
    for (a, expected), (b, got) in zip(islice(whole, 6, 12), resumed, strict=False):
        assert a == b
        assert same(expected, got)


def test_batch_is_what_iteration_gives():
    batches = Batches(Counting(10), 4, frames=2)
    assert all(same(batches.batch(step), clip) for step, clip in islice(batches, 5))


def test_windows_keep_sound_and_picture_together():
    starts = Counter()
    for step, clip in islice(Batches(Counting(10), 5, frames=4), 60):
        assert clip.spec.frames == 4
        assert clip.video.shape == (5, 4, 1, 1, 1)
        frames = clip.video.flatten(1)
        assert torch.equal(clip.audio, frames.repeat_interleave(2, dim=1)), step
        assert torch.equal(frames.diff(dim=1), torch.ones(5, 3))
        first = frames[:, 0] - 100 * clip.label
        assert torch.equal(clip.start, 10.0 * clip.label + first)  # At 1 frame a second.
        assert torch.equal(clip.source, clip.label // 2)
        starts.update(first.int().tolist())
    assert set(starts) == {0, 1, 2}
    assert min(starts.values()) > 60  # Of 300, 100 expected.


def test_first_window_starts_at_zero_and_none_is_whole():
    for _, clip in islice(Batches(Counting(10), 5, frames=4, window="first"), 3):
        assert torch.equal(clip.video[:, 0, 0, 0, 0], 100.0 * clip.label)
    for _, clip in islice(Batches(Counting(10), 5), 3):
        assert clip.spec.frames == 6


def test_clips_of_one_batch_have_windows_of_their_own():
    clip = Batches(Counting(100), 50, frames=1).batch(0)
    assert len(set((clip.video.flatten() - 100 * clip.label).tolist())) == 6


def test_prefetch_works_ahead_but_not_further():
    data = Counting(100)
    iterator = iter(Batches(data, 1, prefetch=3))
    next(iterator)
    iterator.close()  # Waits for the thread, drops what it has not begun.
    assert 1 <= len(data.asked) <= 4


def background() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("batches")]


def test_thread_ends_with_the_iteration():
    iterator = iter(Batches(Counting(10), 4))
    next(iterator)
    assert background()
    iterator.close()
    assert not background()

    for _ in Batches(Counting(10), 4):
        break
    assert not background()


def test_no_thread_without_prefetch():
    iterator = iter(Batches(Counting(10), 4, prefetch=0))
    next(iterator)
    assert not background()


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_reach_the_consumer_at_their_step_and_end_the_thread(prefetch):
    batches = Batches(Counting(20, torn=13), 1, prefetch=prefetch)
    bad = next(step for step in range(20) if batches.indices(step) == [13])
    iterator = iter(batches)
    assert [next(iterator)[0] for _ in range(bad)] == list(range(bad))
    with pytest.raises(OSError, match="clip 13 is torn"):
        next(iterator)
    assert not background()


@pytest.mark.parametrize(
    ("number", "options", "message"),
    [
        (0, {}, "data set is empty"),
        (4, {"batch_size": 0}, "batch_size=0 must be at least 1"),
        (4, {"start": -1}, "start=-1 must not be negative"),
        (4, {"seed": -1}, "seed=-1 must not be negative"),
        (4, {"prefetch": -1}, "prefetch=-1 must not be negative"),
        (4, {"frames": 0}, "frames=0 must be between 1 and the clips' 6"),
        (4, {"frames": 7}, "frames=7 must be between 1 and the clips' 6"),
        (4, {"workers": -1}, "workers=-1 must not be negative"),
        (4, {"balance": "class"}, "balance='class' needs clips with classes.* choose .*'none'"),
    ],
)
def test_bad_values_are_named(number, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        Batches(Counting(number), **({"batch_size": 2} | options))
    assert "\n" not in str(caught.value)


# ---- Several processes ---------------------------------------------------------------------------


@pytest.mark.parametrize(("workers", "prefetch", "start"), [(1, 1, 0), (3, 2, 6), (3, 0, 1)])
def test_batches_are_the_same_whoever_prepares_them(workers, prefetch, start):
    options = {"batch_size": 4, "seed": 5, "frames": 3, "start": start}
    alone = islice(Batches(Counting(10), **options), 8)
    shared = islice(Batches(Counting(10), **options, workers=workers, prefetch=prefetch), 8)
    for (a, expected), (b, got) in zip(alone, shared, strict=True):
        assert a == b
        assert got.spec == expected.spec
        assert same(expected, got)
        assert all(part.is_contiguous() for part in [*expected.parts().values(), got.video])


SMALL = ClipSpec(frames=5, size=32)


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("folder") / "videos"
    place.mkdir()
    for i in range(3):
        clip = TINY.build(SMALL.with_frames(20), "train").clips([i])
        encode(clip, place / f"{i}.mp4", index=0, scale=1)
    return place


@pytest.fixture(scope="module")
def prepared(videos) -> Dataset:
    """Every video a class of its own."""
    sources = [replace(s, label=f"class {s.id}") for s in list_sources([videos]).sources]
    settings = Settings(
        spec=SMALL, fractions=(0.0, 0.0), filters=Filters(None, None, None, None, duplicates=False)
    )
    prepare(Plan(settings, sources), str(videos.with_name("prepared")), engine=Engine(workers=0))
    return PreparedData(path=str(videos.with_name("prepared"))).build(SMALL, "train")


def opened(name: str, videos: Path) -> Dataset:
    if name == "m3so":
        return TINY.build(SMALL, "train")
    cache = str(videos.with_name("cache"))
    return VideoFolder(path=str(videos), cache=cache, progress=False).build(SMALL, "train")


@pytest.mark.parametrize("name", ["folder", "m3so"])
def test_our_data_sets_can_be_read_by_processes(name, videos):
    data = opened(name, videos)
    alone = islice(Batches(data, 3, frames=4), 3)
    processes = islice(Batches(data, 3, frames=4, workers=1), 3)
    assert all(same(a, b) for (_, a), (_, b) in zip(alone, processes, strict=True))


def test_prepared_data_can_be_balanced_and_read_by_processes(prepared):
    options = {"batch_size": 5, "frames": 4, "balance": "class"}
    for (_, a), (_, b) in zip(
        islice(Batches(prepared, **options), 3),
        islice(Batches(prepared, **options, workers=1), 3),
        strict=True,
    ):
        assert same(a, b)
        assert set(a.label.tolist()) <= {0, 1, 2}


def test_processes_end_with_the_iteration_and_the_callers_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    iterator = iter(Batches(Counting(10), 4, workers=2))
    next(iterator)
    processes = multiprocessing.active_children()
    assert len(processes) == 2
    iterator.close()
    assert not any(process.is_alive() for process in processes)
    assert torch.equal(torch.get_rng_state(), before)


class QuirkError(Exception):
    """Cannot be made again from its message, as a pickle would try."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"{name} {number}")


@dataclass
class Torn(Counting):
    """Raises an error of its own for some clips."""

    def clips(self, indices: Sequence[int]) -> Clip:
        errors = {
            3: ValueError("clip 3 is torn\nin two"),
            4: FileNotFoundError(2, "gone", "4.mp4"),
            5: QuirkError(5, "clip"),
        }
        if indices[0] in errors:
            raise errors[indices[0]]
        return super().clips(indices)


@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        (3, ValueError, "clip 3 is torn\nin two"),
        (4, OSError, "[Errno 2] gone: '4.mp4'"),
        (5, RuntimeError, "QuirkError: clip 5"),
    ],
)
def test_errors_of_processes_arrive_at_their_step_with_their_message(index, kind, message):
    batches = Batches(Torn(10), 1)
    bad = next(step for step in range(10) if batches.indices(step) == [index])
    bad_before = sum(batches.indices(step)[0] in (3, 4, 5) for step in range(bad))
    first = bad if bad_before else 0
    iterator = iter(Batches(Torn(10), 1, start=first, workers=1))
    for step in range(first, bad):
        assert next(iterator)[0] == step
    with pytest.raises(kind) as caught:
        next(iterator)
    assert str(caught.value) == message
    assert "in clips" in caught.value.__notes__[0]  # The trace of the other process.
    assert not multiprocessing.active_children()


def test_a_killed_process_is_an_error_that_names_the_step():
    iterator = iter(Batches(Counting(10), 4, start=20, workers=1, prefetch=1))
    next(iterator)
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(ChildProcessError, match=r"step 2[1-3]: a loader process died") as caught:
        list(iterator)
    assert "exit code -9); killed, perhaps for want of memory" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_a_data_set_that_cannot_be_sent_is_named():
    class Local(Counting):
        pass

    with pytest.raises(ValueError, match=r"workers=1: Local cannot be sent to other .* workers=0"):
        next(iter(Batches(Local(4), 2, workers=1)))
    assert not multiprocessing.active_children()


FULL = """
import sys
from itertools import islice
from soundsight.data.loader import Batches
from soundsight.data.m3so import TINY
from soundsight.media.clip import ClipSpec
data = TINY.build(ClipSpec(frames=20, size=32), "train")
try:
    list(islice(Batches(data, 32, workers=2), 9))
except OSError as error:
    sys.exit(str(error))
"""
"""Ends with what the loader says."""


@pytest.mark.slow
def test_too_little_shared_memory_is_one_clear_error():
    small = "mount -t tmpfs -o size=2m none /dev/shm"
    command = ["unshare", "-rm", "sh", "-c"]
    try:
        allowed = subprocess.run([*command, small], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this machine allows no /dev/shm of one's own")
    run = f'{small} && exec "$0" -c "$1"'
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, run, sys.executable, FULL], capture_output=True, text=True, env=environment
    )
    message = "step 0: no room in shared memory for a batch of 3.7 MB (unable to allocate"
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


ABANDONED = """
import os, sys, time
from multiprocessing import active_children
from soundsight.data.loader import Batches
from soundsight.data.m3so import TINY
from soundsight.media.clip import ClipSpec
iterator = iter(Batches(TINY.build(ClipSpec(frames=5, size=32), "train"), 2, workers=2))
next(iterator)
print(*(process.pid for process in active_children()), flush=True)
if sys.argv[1] == "killed":
    time.sleep(60)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", ["killed", "left"])
@pytest.mark.slow
def test_no_process_outlives_the_one_that_reads(end):
    """`left`: a script ends without closing the iterator."""
    reader = subprocess.Popen(
        [sys.executable, "-c", ABANDONED, end],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert reader.stdout is not None
    processes = [Path("/proc") / pid for pid in reader.stdout.readline().split()]
    assert len(processes) == 2
    if end == "killed":
        reader.send_signal(signal.SIGKILL)
    _, told = reader.communicate(timeout=30)
    assert "Traceback" not in told
    assert told == "" or end == "killed"  # Python tells that a killed one left things behind.
    deadline = time.monotonic() + 20
    while any(process.exists() for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


# ---- Balance -------------------------------------------------------------------------------------


@dataclass
class Classes(Counting):
    """Ten clips: class 7 six times, class 2 twice, class 5 once; the last has none."""

    labels: np.ndarray | None = field(
        default_factory=lambda: np.array([7, 7, 2, 7, 7, 5, 7, 2, 7, -1], dtype=np.int64)
    )


def test_balanced_classes_have_the_same_share_and_so_have_the_clips_of_each():
    data = Classes(10)
    batches = Batches(data, 6, seed=1, balance="class")
    drawn = np.array([batches.indices(step) for step in range(2000)])
    assert drawn.shape == (2000, 6)
    shares = Counter(data.labels[drawn].flatten().tolist())
    assert set(shares) == {2, 5, 7}
    deviation = (12_000 * (1 / 3) * (2 / 3)) ** 0.5
    assert all(abs(number - 4000) < 5 * deviation for number in shares.values())
    clips = Counter(drawn.flatten().tolist())
    for index in range(9):
        expected = 4000 / (data.labels == data.labels[index]).sum()
        assert abs(clips[index] - expected) < 5 * expected**0.5
    # Places of a batch are independent: as often as chance has it, two neighbours share a class.
    equal = (np.diff(data.labels[drawn], axis=1) == 0).sum()
    assert abs(equal - 10_000 / 3) < 5 * (10_000 * (1 / 3) * (2 / 3)) ** 0.5


def test_balanced_batches_are_a_function_of_seed_and_step():
    whole = Batches(Classes(10), 6, seed=4, balance="class")
    resumed = Batches(Classes(10), 6, seed=4, balance="class", start=3, workers=1)
    for (_, expected), (_, got) in zip(islice(whole, 3, 7), resumed, strict=False):
        assert same(expected, got)
    other = Batches(Classes(10), 6, seed=5, balance="class")
    assert [other.indices(step) for step in range(4)] != [whole.indices(step) for step in range(4)]
    assert len({tuple(whole.indices(step)) for step in range(50)}) == 50


def test_balance_of_one_class_draws_with_replacement():
    data = Classes(3, labels=np.zeros(3, dtype=np.int64))
    batches = Batches(data, 30, balance="class")
    assert set(batches.indices(0)) == {0, 1, 2}


@pytest.mark.parametrize("labels", [None, np.full(10, -1, dtype=np.int64)])
def test_balance_without_classes_is_refused(labels):
    with pytest.raises(ValueError, match="balance='class' needs clips with classes"):
        Batches(Classes(10, labels=labels), 2, balance="class")


# ---- Page-locked memory --------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
@pytest.mark.parametrize("workers", [0, 1])
def test_pinning_is_of_no_effect_without_cuda(workers):
    (_, plain), (_, pinned) = (
        next(iter(Batches(Counting(10), 4, workers=workers, pin=pin))) for pin in (False, True)
    )
    assert same(plain, pinned)
    assert not pinned.video.is_pinned()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("workers", "prefetch"), [(0, 0), (0, 2), (2, 2)])
def test_batches_for_a_gpu_are_page_locked(workers, prefetch):
    batches = Batches(Counting(10), 4, workers=workers, prefetch=prefetch, pin=True)
    for (_, clip), (_, plain) in zip(islice(batches, 4), Batches(Counting(10), 4), strict=False):
        assert all(part.is_pinned() for part in clip.parts().values())
        assert same(clip, plain)

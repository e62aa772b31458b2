"""Order, windows, resuming and prefetching of batches."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import pytest
import torch

from soundsight.data.loader import Batches
from soundsight.media.clip import Clip, ClipSpec


@dataclass
class Counting:
    """Clip i shows 100 i + t in frame t and sounds the same; labels are the indices."""

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
        starts.update((frames[:, 0] - 100 * clip.label).int().tolist())
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
    ],
)
def test_bad_values_are_named(number, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        Batches(Counting(number), **({"batch_size": 2} | options))
    assert "\n" not in str(caught.value)

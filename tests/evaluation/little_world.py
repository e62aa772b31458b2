"""A small world whose sound says where its square is, and forecasters of known quality."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import torch

from soundsight.contract import Streams
from soundsight.evaluation.forecast import evaluate_forecast
from soundsight.evaluation.forecasters import mean_image
from soundsight.evaluation.scores import ForecastProtocol, Scores
from soundsight.media.clip import Clip, ClipSpec

SIDE = 5
SEEN, FRAMES = 3, 9


def draw(columns: torch.Tensor, rows: torch.Tensor, spec: ClipSpec) -> torch.Tensor:
    """Video (b, t, c, h, w) of a grey square with these corners, (b, t) and (b,)."""
    places = torch.arange(spec.size)
    across = (places >= columns[..., None]) & (places < columns[..., None] + SIDE)
    down = (places >= rows[:, None, None]) & (places < rows[:, None, None] + SIDE)
    video = 0.6 * (down[..., :, None] & across[..., None, :]).float()
    return video[:, :, None].expand(-1, -1, spec.channels, -1, -1).contiguous()


@dataclass
class Squares:
    """Squares that jump sideways; the level of frame k's sound is the column in frame k."""

    spec: ClipSpec = field(
        default_factory=lambda: ClipSpec(frames=10, fps=5.0, size=24, sample_rate=4400)
    )
    count: int = 12
    block: bool = False

    def __len__(self) -> int:
        return self.count

    def _paths(self, indices):
        rngs = [np.random.default_rng(i) for i in indices]
        span = self.spec.size - SIDE + 1
        columns = torch.tensor(np.array([r.integers(0, span, self.spec.frames) for r in rngs]))
        return columns, torch.tensor([int(r.integers(0, span)) for r in rngs])

    def clips(self, indices):
        columns, rows = self._paths(indices)
        video = draw(columns, rows, self.spec)
        if self.block:
            for clip, (x, y, *_) in zip(video, self.truth(indices).block_box, strict=True):
                clip[5:, :, int(y) : int(y) + 6, int(x) : int(x) + 6] = 1
        level = columns / (self.spec.size - SIDE)
        return Clip(self.spec, video, level.repeat_interleave(self.spec.samples_per_frame, dim=1))

    def truth(self, indices):
        if not self.block:
            return SimpleNamespace(block_box=None, block_start=None)
        corners = np.array([[i % 18, (5 * i) % 18] for i in indices], dtype=np.float64)
        return SimpleNamespace(block_box=np.concatenate([corners, corners + 6], 1), block_start=5)


@dataclass
class Oracle:
    """Returns what really happened."""

    dataset: Squares
    deterministic: bool = True

    def __call__(self, given: Clip, num_samples: int, streams: Streams) -> Clip:
        return self.dataset.clips(streams.ids).crop(0, given.spec.frames).repeat(num_samples)


@dataclass
class Listener:
    """Reads the column off the sound, wrong by a random number of pixels."""

    jitter: float = 1.0
    takes: frozenset = frozenset({"audio", "context"})

    def __call__(self, given: Clip, num_samples: int, streams: Streams) -> Clip:
        spec, seen = given.spec, given.video.shape[1]
        level = given.audio.unflatten(1, (spec.frames, spec.samples_per_frame)).mean(-1)
        noise = streams.normal(num_samples, spec.frames) * self.jitter
        columns = level.repeat_interleave(num_samples, 0) * (spec.size - SIDE) + noise
        columns = columns.round().clamp(0, spec.size - SIDE).long()
        rows = given.video[:, 0, 0].amax(-1).argmax(-1).repeat_interleave(num_samples)
        whole = given.repeat(num_samples)
        future = draw(columns, rows, spec)[:, seen:]
        return whole.replace(video=torch.cat([whole.video, future], dim=1))


def evaluate(forecasters=None, dataset=None, **options) -> Scores:
    """Evaluate on the little world."""
    dataset = dataset or Squares()
    realness, progress = options.pop("realness", None), options.pop("progress", None)
    defaults = {"seen": SEEN, "frames": FRAMES, "num_samples": 4, "clips": 7, "resamples": 200}
    return evaluate_forecast(
        {"listener": Listener()} if forecasters is None else forecasters,
        dataset,
        ForecastProtocol(**(defaults | options)),
        mean_image=mean_image(dataset, clips=8),
        realness=realness,
        progress=progress,
    )

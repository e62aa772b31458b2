"""Evaluate forecasts: K sampled futures of each clip against the one that happened.

`evaluate_forecast` walks through the chosen clips a few at a time. Each forecaster, its double that
hears another clip's sound, and the trivial predictors draw their futures; frames are scored at once
and only numbers per clip and frame are kept. A result depends on the seed and the clip's index,
never on how many clips were forecast together.

Source: the protocol of Sound2Sight (Chatterjee and Cherian, ECCV 2020), with what it leaves open
made explicit: which sample counts (`Rule`), the data range of SSIM (both are reported), how a block
is located (`localisation`), and rows that learn nothing.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from soundsight.contract import Streams
from soundsight.data.loader import Dataset
from soundsight.evaluation import localisation
from soundsight.evaluation.diversity import best_of_curve, pairwise_ssim
from soundsight.evaluation.fooling import LABELLED_REAL, Realness, labelled_real
from soundsight.evaluation.forecasters import (
    REAL,
    SHUFFLED,
    Entry,
    Forecaster,
    ModelForecaster,
    clip_indices,
    line_up,
    mean_image,
    other_clips,
)
from soundsight.evaluation.image import PSNR_CAP_DB, psnr, ssim_ranges
from soundsight.evaluation.scores import (
    FRAME_METRICS,
    NO_RULE,
    REGION,
    Example,
    ForecastProtocol,
    Future,
    Key,
    Row,
    Rule,
    Scores,
    make_rows,
)
from soundsight.media.clip import Clip

__all__ = [
    "BEST_OF",
    "ForecastProtocol",
    "Forecaster",
    "ModelForecaster",
    "Row",
    "Scores",
    "apply_rules",
    "evaluate_forecast",
    "mean_image",
    "score_frames",
]

SMALLEST = 7
"""Least side of a part that is scored on its own, pixels: that of SSIM's window."""
BEST_OF = (1, 2, 3, 5, 10, 20, 50, 100)
"""Numbers k of samples for which the best of k is reported, as far as K goes, and K itself."""


def evaluate_forecast(
    forecasters: Mapping[str, Forecaster],
    dataset: Dataset,
    protocol: ForecastProtocol,
    *,
    mean_image: Float32[Tensor, "c h w"],
    realness: Mapping[str, Realness] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score forecasters and their controls on a data set.

    Args:
        forecasters: by the name of their rows.
        dataset: the split that the protocol names, already opened. If it has a method `truth` whose
            result has `block_box` (x0, y0, x1, y1 in pixels, shape (b, 4)) and `block_start` (index
            of the first frame that shows it), the block is located too.
        protocol: how to evaluate.
        mean_image: what `mean_image` returned for the training split.
        realness: discriminators by the name of the forecaster whose own each is. It judges that
            forecaster, its shuffled double, and the real clips under the name "real:<forecaster>".
        progress: called with (clips done, clips in all) after each batch.

    Returns:
        Rows, per-clip numbers and a few examples.

    Raises:
        ValueError: if the clips have no picture or are shorter than the protocol asks, there are
            too few, a name is taken, `realness` names no forecaster, or a forecaster returns frames
            of the wrong number, size or that are not finite.
    """
    judges = realness or {}
    _check(forecasters, dataset, protocol, judges)
    entries = line_up(forecasters, num_samples=protocol.num_samples, mean_image=mean_image)
    indices = clip_indices(len(dataset), protocol.clips, seed=protocol.seed)
    others = other_clips(indices, seed=protocol.seed)
    tally = _Tally(protocol)
    for start in range(0, len(indices), protocol.batch_clips):
        part = slice(start, start + protocol.batch_clips)
        batch = _load(dataset, protocol, indices[part], start)
        swapped = None
        if not all(entry.own_sound for entry in entries):
            swapped = _clips(dataset, protocol, others[part]).audio
        _score_real(tally, batch, judges)
        for entry in entries:
            given = batch.given if entry.own_sound else batch.given.replace(audio=swapped)
            _forecast(tally, entry, given, batch, judges.get(entry.name.removesuffix(SHUFFLED)))
        if progress is not None:
            progress(min(part.stop, len(indices)), len(indices))
    _score_centre_block(tally, dataset, indices)
    per_clip = tally.per_clip()
    return Scores(
        protocol=protocol,
        spec=batch.truth.spec,
        rows=make_rows(per_clip, forecasters, protocol),
        per_clip=per_clip,
        indices=indices,
        num_samples={entry.name: entry.num_samples for entry in entries},
        models=list(forecasters),
        examples=tally.examples,
    )


def _check(
    forecasters: Mapping[str, Forecaster],
    dataset: Dataset,
    protocol: ForecastProtocol,
    judges: Mapping[str, Realness],
) -> None:
    if dataset.spec.frames < protocol.frames:
        raise ValueError(
            f"frames={protocol.frames}: the data set's clips have only {dataset.spec.frames}"
        )
    check_region(protocol, dataset.spec.size)
    for name in judges:
        if name not in forecasters:
            raise ValueError(f"realness of {name!r}: the forecasters are {', '.join(forecasters)}")


def check_region(protocol: ForecastProtocol, size: int) -> None:
    """Raise a ValueError if the part that is scored on its own is too small in frames of a size."""
    if protocol.region is None:
        return
    height, width = crop_frames(torch.empty(1, size, size), protocol.region).shape[1:]
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"region={protocol.region} is {width}x{height} pixels of frames of {size}: SSIM needs "
            f"at least {SMALLEST}x{SMALLEST}"
        )


@dataclass(frozen=True)
class Block:
    """The obstacle of some clips."""

    boxes: Float64[Tensor, "b 4"]
    """x0, y0, x1, y1, pixels."""
    appears: int
    """0-based predicted frame that shows it first."""

    @property
    def side(self) -> int:
        """Side of the block, pixels."""
        return round(float(self.boxes[0, 2] - self.boxes[0, 0]))


@dataclass(frozen=True)
class _Batch:
    """A few clips and what is known of them."""

    indices: list[int]
    truth: Clip
    given: Clip
    block: Block | None
    first: int
    """Place of the first of them among all evaluated clips."""


@dataclass
class _Tally:
    """Numbers per clip, batch after batch."""

    protocol: ForecastProtocol
    parts: dict[Key, list[np.ndarray]] = field(default_factory=lambda: defaultdict(list))
    examples: list[Example] = field(default_factory=list)
    _ssim: dict[str, Float64[np.ndarray, "b s"]] = field(default_factory=dict)
    """Mean SSIM over the horizon of every sample of the current batch, by name."""

    def add(self, name: str, metric: str, rule: str, values: Tensor) -> None:
        """Append the numbers of a batch, (b,) or (b, T-F)."""
        self.parts[name, metric, rule].append(values.double().cpu().numpy())

    def per_clip(self) -> dict[Key, np.ndarray]:
        """Everything, joined; rules that were not asked for left out."""
        wanted = (*self.protocol.rules, NO_RULE)
        return {k: np.concatenate(v) for k, v in self.parts.items() if k[2] in wanted}

    def keep_examples(self, entry: Entry, futures: Tensor, given: Clip, batch: _Batch) -> None:
        """Keep the best, the worst and a random future of the first few clips."""
        count = min(len(batch.indices), self.protocol.examples - batch.first)
        for i in range(count):
            if len(self.examples) == batch.first + i:
                self.examples.append(Example(batch.indices[i], batch.truth[i : i + 1], {}))
            scores = self._ssim[entry.name][i]
            picks = {"best": int(scores.argmax())}
            if entry.num_samples > 1:
                words = (self.protocol.seed, batch.indices[i], 2)
                random = int(np.random.default_rng(words).integers(entry.num_samples))
                picks |= {"random": random, "worst": int(scores.argmin())}
            self.examples[batch.first + i].futures[entry.name] = {
                kind: Future(k, float(scores[k]), _whole(given[i : i + 1], futures[i, k : k + 1]))
                for kind, k in picks.items()
            }

    def note(self, name: str, sample_ssim: Float[Tensor, "b s"]) -> None:
        """Remember which samples of the current batch are good."""
        self._ssim[name] = sample_ssim.cpu().numpy()


def _clips(dataset: Dataset, protocol: ForecastProtocol, indices: Sequence[int]) -> Clip:
    """Clips of T frames."""
    clip = dataset.clips(list(indices)).crop(0, protocol.frames)
    if clip.video is None:
        raise ValueError("the data set has no picture: there is nothing to forecast")
    return clip


def _load(dataset: Dataset, protocol: ForecastProtocol, indices: list[int], first: int) -> _Batch:
    """Some clips, with their block if the data set knows of one."""
    truth = _clips(dataset, protocol, indices)
    block = true_block(dataset, indices, protocol)
    return _Batch(indices, truth, truth.context(protocol.seen), block, first)


def true_block(
    dataset: Dataset, indices: Sequence[int], protocol: ForecastProtocol
) -> Block | None:
    """The block of these clips, if the data set has one that the evaluated frames show.

    Args:
        dataset: any data set.
        indices: of the clips.
        protocol: says which frames are evaluated.

    Returns:
        None for a data set without `truth`, or one whose block appears too late or never.
    """
    truth = getattr(dataset, "truth", None)
    found = None if truth is None else truth(list(indices))
    boxes = getattr(found, "block_box", None)
    if found is None or boxes is None or found.block_start >= protocol.frames:
        return None
    return Block(torch.as_tensor(boxes).double(), max(0, found.block_start - protocol.seen))


def _forecast(
    tally: _Tally, entry: Entry, given: Clip, batch: _Batch, realness: Realness | None
) -> None:
    """Draw one forecaster's futures of a batch and keep all that is wanted of them."""
    futures = _draw(entry, given, batch, tally.protocol)
    _score(tally, entry, futures, batch)
    if realness is not None:
        _score_realness(tally, entry.name, realness, futures, given)
    tally.keep_examples(entry, futures, given, batch)


def _draw(
    entry: Entry, given: Clip, batch: _Batch, protocol: ForecastProtocol
) -> Float32[Tensor, "b s t c h w"]:
    """Predicted frames F + 1 to T of every sample, limited to what a screen can show."""
    streams = Streams(protocol.seed, batch.indices)
    video = entry.forecaster(given, entry.num_samples, streams).video
    spec = given.spec
    frame = (spec.channels, spec.size, spec.size)
    expected = (len(given) * entry.num_samples, protocol.frames, *frame)
    if video is None or tuple(video.shape) != expected:
        shape = None if video is None else tuple(video.shape)
        raise ValueError(f"forecaster {entry.name!r} returned video {shape}, not {expected}")
    if not bool(video.isfinite().all()):
        raise ValueError(f"forecaster {entry.name!r} returned frames that are not finite")
    future = video[:, protocol.seen :].clamp(0, 1).float()
    if future.device.type == "mps":  # It has no float64, in which frames are scored.
        future = future.cpu()
    return future.unflatten(0, (len(given), entry.num_samples))


def score_frames(
    futures: Float[Tensor, "b s t c h w"], truth: Float[Tensor, "b t c h w"]
) -> dict[str, Float64[Tensor, "b s t"]]:
    """`FRAME_METRICS` of every predicted frame of every sample.

    Args:
        futures: K sampled futures of each clip in [0, 1], shape (b, K, t, c, h, w).
        truth: what happened, shape (b, t, c, h, w).

    Returns:
        By metric, shape (b, K, t); PSNR at most `PSNR_CAP_DB`.

    Raises:
        ValueError: if the frames are smaller than 7 pixels.
    """
    truth = truth.to(futures.device)[:, None]
    similarity, legacy = ssim_ranges(futures, truth, data_ranges=(1.0, 2.0))
    ratio = psnr(futures, truth, data_range=1.0).clamp(max=PSNR_CAP_DB)
    return dict(zip(FRAME_METRICS, (ratio, similarity, legacy), strict=True))


def crop_frames(
    frames: Float[Tensor, "*b c h w"], region: tuple[float, float, float, float]
) -> Float[Tensor, "*b c i j"]:
    """A part of every frame.

    Args:
        frames: any, shape (..., c, h, w).
        region: left, top, right and bottom edge, shares of the frame's sides; rounded to pixels.

    Returns:
        Shape (..., c, i, j).
    """
    height, width = frames.shape[-2:]
    x0, y0, x1, y1 = region
    rows = slice(round(y0 * height), round(y1 * height))
    return frames[..., rows, round(x0 * width) : round(x1 * width)]


def apply_rules(
    values: Float64[Tensor, "b s ..."],
    best: Tensor,
    *,
    higher_is_better: bool = True,
) -> dict[Rule, Float64[Tensor, "b ..."]]:
    """One number out of those of K samples, by each rule.

    Args:
        values: per clip, sample and perhaps frame, shape (b, K) or (b, K, t).
        best: each clip's sample with the highest mean SSIM over the horizon, shape (b,).
        higher_is_better: direction of the metric, for `frame_oracle`.

    Returns:
        By rule, shape (b,) or (b, t).
    """
    return {
        "mean": values.mean(1),
        "sequence_best": values[torch.arange(len(values), device=values.device), best],
        "frame_oracle": values.amax(1) if higher_is_better else values.amin(1),
    }


def _score(tally: _Tally, entry: Entry, futures: Tensor, batch: _Batch) -> None:
    """Score all samples of one forecaster, whose futures are (b, K, T-F, c, h, w)."""
    assert batch.truth.video is not None
    truth = batch.truth.video[:, tally.protocol.seen :]
    scores = score_frames(futures, truth)
    if (region := tally.protocol.region) is not None:
        part = score_frames(crop_frames(futures, region), crop_frames(truth, region))
        scores |= {metric + REGION: values for metric, values in part.items()}
    sample_ssim = scores["ssim"].mean(-1)
    best = sample_ssim.argmax(1)
    tally.note(entry.name, sample_ssim)
    for metric, values in scores.items():
        for rule, kept in apply_rules(values, best).items():
            tally.add(entry.name, metric, rule, kept)
    if batch.block is not None:
        _score_block(tally, entry.name, futures, best, batch.block)
    if entry.num_samples > 1:
        _score_diversity(tally, entry, futures, sample_ssim, batch)


def _score_block(tally: _Tally, name: str, futures: Tensor, best: Tensor, block: Block) -> None:
    """IoU of the block in the final frame, and by how many frames it appears too early or late."""
    num_samples = futures.shape[1]
    grey = futures.mean(3).flatten(0, 1)
    boxes = block.boxes.to(futures.device).repeat_interleave(num_samples, dim=0)
    overlap = localisation.block_iou(grey[:, -1], boxes, block.side)
    appears = localisation.time_to_appear(grey, block.side)
    late = appears.unflatten(0, (-1, num_samples)) - block.appears
    for rule, kept in apply_rules(overlap.unflatten(0, (-1, num_samples)), best).items():
        tally.add(name, "block_iou", rule, kept)
    for rule, kept in apply_rules(late.abs().double(), best, higher_is_better=False).items():
        tally.add(name, "block_time_error", rule, kept)


def _score_diversity(
    tally: _Tally, entry: Entry, futures: Tensor, sample_ssim: Tensor, batch: _Batch
) -> None:
    """How different the samples are, and what the best of k of them is worth."""
    curve = torch.from_numpy(best_of_curve(sample_ssim.cpu().numpy()))
    for k in sorted({*(k for k in BEST_OF if k <= entry.num_samples), entry.num_samples}):
        tally.add(entry.name, f"ssim_best_of_{k}", "sequence_best", curve[:, k - 1])
    count = min(len(futures), tally.protocol.diversity_clips - batch.first)
    if count > 0:
        alike = pairwise_ssim(futures[:count], data_range=1.0, seed=tally.protocol.seed)
        tally.add(entry.name, "pairwise_ssim", NO_RULE, alike)


def _score_real(tally: _Tally, batch: _Batch, judges: Mapping[str, Realness]) -> None:
    """The upper bound: the truth itself, and what each discriminator says of it."""
    assert batch.truth.video is not None
    futures = batch.truth.video[:, None, tally.protocol.seen :]
    _score(tally, Entry(REAL, lambda given, *_: given, 1), futures, batch)
    for model, realness in judges.items():
        shares = labelled_real(realness, batch.truth, frames=tally.protocol.horizon)
        for head, share in shares.items():
            tally.add(f"{REAL}:{model}", LABELLED_REAL + head, NO_RULE, share)


def _score_centre_block(tally: _Tally, dataset: Dataset, indices: list[int]) -> None:
    """What one constant guess scores that knows where blocks are on average."""
    block = true_block(dataset, indices, tally.protocol)
    if block is None:
        return
    centre = localisation.centre_box(block.boxes)
    overlap = localisation.intersection_over_union(centre, block.boxes)
    for rule in tally.protocol.rules:
        tally.add("centre_block", "block_iou", rule, overlap)


def _score_realness(
    tally: _Tally, name: str, realness: Realness, futures: Tensor, given: Clip
) -> None:
    """Share of each clip's generated frames that a discriminator labels real."""
    num_samples = futures.shape[1]
    clip = _whole(given.repeat(num_samples).to(futures.device), futures.flatten(0, 1))
    for head, share in labelled_real(realness, clip, frames=futures.shape[2]).items():
        per_clip = share.unflatten(0, (-1, num_samples)).mean(1)
        tally.add(name, LABELLED_REAL + head, NO_RULE, per_clip)


def _whole(given: Clip, future: Float32[Tensor, "b t c h w"]) -> Clip:
    """Seen frames, predicted frames and the sound that was heard, on the CPU."""
    assert given.video is not None
    seen = given.video.to(future.device)
    return given.replace(video=torch.cat([seen, future], dim=1)).to("cpu")

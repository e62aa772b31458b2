"""What an evaluation leaves behind: per-clip numbers, and the tidy rows made from them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated

from soundsight.evaluation.fooling import LABELLED_REAL
from soundsight.evaluation.forecasters import REAL, SHUFFLED, TRIVIAL
from soundsight.evaluation.intervals import Interval, bootstrap_columns
from soundsight.media.clip import Clip, ClipSpec

Rule = Literal["mean", "sequence_best", "frame_oracle"]
"""How the K samples of a clip become one number. `mean`: their average, what one draw is worth.
`sequence_best`: the one sample with the highest mean SSIM over the horizon, for every metric.
`frame_oracle`: the best sample anew in each frame and each metric, as some publications do."""

RULES: tuple[Rule, ...] = get_args(Rule)
NO_RULE = "none"
"""Rule of a row that does not choose among samples."""
FRAME_METRICS = ("psnr", "ssim", "ssim_legacy")
"""Scored in every frame: PSNR in dB, SSIM with data range 1, and with the published one, 2."""
REGION = "_region"
"""Suffix of the metrics of `ForecastProtocol.region`."""
CONTROLS = (*TRIVIAL, "centre_block")
"""What every forecaster is compared with, beside its own shuffled double."""

Key = tuple[str, str, str]
"""(name, metric, rule)."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class ForecastProtocol:
    """How a forecast is evaluated; stored with every score.

    Raises:
        ValueError: if a value is out of range.
    """

    seen: int
    """Number F of frames that are given."""
    frames: int
    """Number T of frames of a whole clip, seen ones included; F + 1 to T are predicted, scored."""
    kind: Literal["forecast"] = "forecast"
    """Models are given the first frames and continue them."""
    num_samples: int = 10
    """Futures K drawn for each clip."""
    clips: int = 100
    """Number n of clips, chosen at random from the split."""
    split: Literal["train", "val", "test"] = "test"
    """Part of the data; only "test" was neither learned from nor tuned on."""
    seed: int = 0
    """Seed of the choice of clips, the samples, the shuffling and the intervals."""
    batch_clips: int = 8
    """Clips forecast at a time; bounds the memory and does not change a result."""
    rules: tuple[Rule, ...] = RULES
    """Rules of choosing among the samples that are reported, never mixed."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    resamples: int = 2000
    """Bootstrap resamples of the clips behind each interval."""
    diversity_clips: int = 100
    """Clips of which pairs of samples are compared (the costliest number of all)."""
    examples: int = 4
    """Clips of which futures are kept to be shown."""
    region: tuple[float, float, float, float] | None = None
    """Part of the frame that is scored on its own as well, such as a mouth: left, top, right and
    bottom edge, shares of the frame's side."""

    def __post_init__(self) -> None:
        least = {"seen": 1, "num_samples": 1, "clips": 2, "seed": 0, "batch_clips": 1}
        least |= {"resamples": 1, "diversity_clips": 0, "examples": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {bound}")
        if self.frames <= self.seen:
            raise ValueError(f"frames={self.frames} must exceed seen={self.seen}")
        if not self.rules or len(set(self.rules)) < len(self.rules):
            raise ValueError(f"rules={self.rules} must be different ones of {RULES}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence} must lie between 0 and 1")
        if self.region is not None:
            x0, y0, x1, y1 = self.region
            if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
                raise ValueError(
                    f"region={self.region} must be left, top, right and bottom edge, from 0 to 1"
                )

    @property
    def horizon(self) -> int:
        """Number T - F of predicted frames."""
        return self.frames - self.seen


class Row(NamedTuple):
    """One number of the report."""

    name: str
    """Forecaster or control; "a - b" is the paired difference of two over the same clips, "real:a"
    the real clips as the discriminator of a sees them."""
    metric: str
    rule: str
    """One of `RULES`, or "none"."""
    frame: int | None
    """1-based frame of the whole clip; None: mean over the predicted frames, or a clip's number."""
    value: float
    """Mean over clips."""
    low: float
    """Lower end of the confidence interval."""
    high: float
    """Upper end of the confidence interval."""
    n: int
    """Number of clips."""
    seed: int


@dataclass(frozen=True)
class Future:
    """One sampled future that is shown."""

    sample: int
    """0-based index among the K samples."""
    ssim: float
    """Its SSIM with the truth, mean over the predicted frames."""
    clip: Clip
    """All T frames and the sound it was forecast from, batch of one, on the CPU."""


@dataclass(frozen=True)
class Example:
    """One evaluated clip that is shown."""

    index: int
    """Index in the data set."""
    truth: Clip
    """Batch of one, on the CPU."""
    futures: dict[str, dict[str, Future]]
    """By forecaster: its "best", "random" and "worst" future; only "best" if K is 1."""


@dataclass(frozen=True)
class Scores:
    """Result of an evaluation."""

    protocol: ForecastProtocol
    spec: ClipSpec
    """Rates and sizes of the evaluated clips."""
    rows: list[Row]
    per_clip: dict[Key, np.ndarray]
    """Per clip and predicted frame, shape (n, T-F), or per clip, shape (n,)."""
    indices: list[int]
    """Index in the data set of each of the n clips."""
    num_samples: dict[str, int]
    """Futures drawn per clip, by name, in the order of the table."""
    models: list[str]
    """Names of the forecasters that were handed in."""
    examples: list[Example]

    def row(self, name: str, metric: str, rule: str, frame: int | None = None) -> Row:
        """The one row with these keys.

        Raises:
            ValueError: if there is none.
        """
        for row in self.rows:
            if row[:4] == (name, metric, rule, frame):
                return row
        raise ValueError(f"no row ({name!r}, {metric!r}, {rule!r}, frame={frame})")


def is_difference(row: Row) -> bool:
    """Is it the difference of two rows, and not a score?"""
    return " - " in row.name


def make_rows(
    per_clip: dict[Key, np.ndarray],
    models: Iterable[str],
    protocol: ForecastProtocol,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> list[Row]:
    """Means and paired differences of per-clip numbers, with their intervals.

    Args:
        per_clip: arrays (n, T-F) or (n,) by (name, metric, rule).
        models: names whose differences from the controls and from each other are reported.
        protocol: says the first predicted frame, the seed and the intervals.
        pairs: differences (first minus second) that are reported instead.

    Returns:
        Scores first, then differences.
    """
    wanted = list(_pairs(list(models))) if pairs is None else pairs
    arrays = per_clip | dict(_differences(per_clip, wanted))
    columns = [column for key, array in arrays.items() for column in _columns(key, array, protocol)]
    intervals: dict[int, Interval] = {}
    for n in {len(values) for *_, values in columns}:
        these = [i for i, column in enumerate(columns) if len(column[-1]) == n]
        step = max(1, 2**24 // n)
        for start in range(0, len(these), step):
            part = these[start : start + step]
            found = bootstrap_columns(
                np.stack([columns[i][-1] for i in part], axis=1),
                seed=protocol.seed,
                confidence=protocol.confidence,
                resamples=protocol.resamples,
            )
            intervals |= dict(zip(part, found, strict=True))
    return [
        Row(name, metric, rule, frame, *intervals[i], protocol.seed)
        for i, (name, metric, rule, frame, _) in enumerate(columns)
    ]


def _columns(
    key: Key, array: np.ndarray, protocol: ForecastProtocol
) -> Iterator[tuple[str, str, str, int | None, np.ndarray]]:
    """Every quantity of one array: its mean over the horizon, first half and single frames."""
    name, metric, rule = key
    if array.ndim == 1:
        yield name, metric, rule, None, array
        return
    yield name, metric, rule, None, array.mean(1)
    if metric == "psnr":
        half = (array.shape[1] + 1) // 2
        yield name, "psnr_first_half", rule, None, array[:, :half].mean(1)
    for i in range(array.shape[1]):
        yield name, metric, rule, protocol.seen + 1 + i, array[:, i]


def _differences(
    per_clip: dict[Key, np.ndarray], pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[Key, np.ndarray]]:
    """Paired differences, in every metric that both have."""
    for (name, metric, rule), array in per_clip.items():
        for other in (second for first, second in pairs if first == name):
            if metric.startswith(LABELLED_REAL) and other != name + SHUFFLED:
                continue  # Two discriminators: their shares do not compare.
            against = per_clip.get((other, metric, rule))
            if against is not None and against.shape == array.shape:
                yield (f"{name} - {other}", metric, rule), array - against


def _pairs(models: list[str]) -> Iterator[tuple[str, str]]:
    """Which differences are reported, as (first, second) for first minus second.

    Each model minus its shuffled double, each control and each later model; and each later model
    minus that double: is a later model without ears better than one that hears a foreign sound?
    """
    for i, model in enumerate(models):
        double, later = model + SHUFFLED, models[i + 1 :]
        yield from ((model, other) for other in (double, *CONTROLS, *later))
        yield from ((other, double) for other in later)


def is_real(name: str) -> bool:
    """Is it a row of the real clips: the upper bound, or what a discriminator says of them?"""
    return name.partition(":")[0] == REAL


def is_control(name: str) -> bool:
    """Is it there to give the others' scores a meaning?"""
    return name in CONTROLS or is_real(name) or SHUFFLED in name

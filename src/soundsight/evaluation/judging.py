"""How good a judge is: scores of networks that will score others, on clips they did not learn from.

A classifier is right or wrong about each clip (each frame, or each step that has a pitch, of which
a clip's number is the mean). A judge of correspondence is asked whether a sound is a clip's own or
another clip's, whether it is in time or late, and which of n sounds is the right one. Beside each
score stand what chance and the most frequent class would score.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass as validated
from torch import Generator, Tensor

from soundsight.data.loader import Dataset
from soundsight.evaluation.forecasters import clip_indices, other_clips
from soundsight.evaluation.intervals import Interval, bootstrap
from soundsight.evaluation.scores import NO_RULE, Row
from soundsight.media.clip import Clip, ClipSpec
from soundsight.models.judges import Classifier, Correspondence, cut, draw_moments

JUDGE, CHANCE, MAJORITY = "judge", "chance", "majority"
"""Names of rows: the network, blind guessing, and always the most frequent class."""
RETRIEVED = (1, 5, 10)
"""Ranks k of R@k: is the right one among the k nearest?"""
Statistic = Callable[[Float64[np.ndarray, "r n"]], Float64[np.ndarray, " r"]]
"""A number for each row of weights of the n clips; each row sums to 1."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class JudgeProtocol:
    """How a judge is evaluated; stored with every score.

    Raises:
        ValueError: if a value is out of range.
    """

    kind: Literal["judge"] = "judge"
    """Networks that tell clips apart."""
    split: Literal["train", "val", "test"] = "test"
    """Part of the data; only "test" was neither learned from nor tuned on."""
    clips: int = 500
    """Number n of clips, chosen at random from the split."""
    seed: int = 0
    """Seed of the choice of clips, of wrong partners, and of the intervals."""
    confidence: float = 0.95
    """Coverage of the intervals."""
    resamples: int = 2000
    """Bootstrap resamples of the clips behind each interval."""
    batch_clips: int = 50
    """Clips judged at a time; bounds the memory and does not change a result."""
    shift_s: float = 0.2
    """Least shift of a clip's own sound that is to be noticed, seconds."""

    def __post_init__(self) -> None:
        least = {"clips": 2, "seed": 0, "resamples": 1, "batch_clips": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {bound}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence={self.confidence} must lie between 0 and 1")
        if not self.shift_s > 0:
            raise ValueError(f"shift_s={self.shift_s} must be positive")


@dataclass(frozen=True)
class JudgeScores:
    """Result of an evaluation."""

    protocol: JudgeProtocol
    spec: ClipSpec
    """Rates and sizes of the evaluated clips."""
    rows: list[Row]
    """The judge's scores, each followed by those of chance and majority; metrics are explained at
    `classifier_scores` and `correspondence_scores`."""
    indices: list[int]
    """Index in the data set of each of the n clips."""

    def row(self, name: str, metric: str) -> Row:
        """The one row with these keys.

        Raises:
            ValueError: if there is none.
        """
        for row in self.rows:
            if row[:2] == (name, metric):
                return row
        raise ValueError(f"no row ({name!r}, {metric!r})")


def evaluate_judge(
    judge: Classifier | Correspondence,
    dataset: Dataset,
    protocol: JudgeProtocol,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> JudgeScores:
    """Score a judge on a data set, without gradients and with dropout off.

    Args:
        judge: on the device on which it shall work.
        dataset: the split that the protocol names, already opened.
        protocol: how to evaluate.
        progress: called with (clips done, clips in all) after each batch.

    Returns:
        Rows: see `classifier_scores` and `correspondence_scores`.

    Raises:
        ValueError: naming the data, if it has no labels for a judge of labels, no clip has a pitch
            for a judge of pitch, there are too few clips, or they cannot be judged.
    """
    indices = clip_indices(len(dataset), protocol.clips, seed=protocol.seed)
    device = next(judge.parameters()).device

    def batches() -> Iterator[Clip]:
        for start in range(0, len(indices), protocol.batch_clips):
            part = indices[start : start + protocol.batch_clips]
            yield dataset.clips(part).to(device)
            if progress is not None:
                progress(start + len(part), len(indices))

    modes = [(module, module.training) for module in judge.modules()]
    judge.eval()
    try:
        with torch.no_grad():
            if isinstance(judge, Classifier):
                rows = classifier_scores(judge, batches(), protocol)
            else:
                rows = correspondence_scores(judge, batches(), indices, protocol)
    except ValueError as error:
        raise ValueError(f"{type(dataset).__name__}, {protocol.split} split: {error}") from error
    finally:
        for module, mode in modes:
            module.training = mode
    return JudgeScores(protocol, dataset.spec, rows, indices)


# ---- Classifiers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answers:
    """What a classifier said of n clips: counts of decisions, by the class that is true."""

    right: Float64[np.ndarray, "n k"]
    """How many decisions were right."""
    near: Float64[np.ndarray, "n k"]
    """How many were right or one class beside it (a semitone)."""
    total: Float64[np.ndarray, "n k"]
    """How many there were: one for a clip; or one for each frame, or step with a pitch."""


def classifier_scores(
    judge: Classifier, batches: Iterator[Clip], protocol: JudgeProtocol
) -> list[Row]:
    """Rows of a classifier.

    Metrics:
        accuracy: share of decisions that are right, mean over clips; those of a picture classifier
            are about frames, of a pitch classifier about the steps that have a pitch, and clips
            without one are left out. 0 to 1, higher is better.
        accuracy_macro: mean over the classes that occur of the share of right decisions about them:
            what a rare class counts, a frequent one does.
        accuracy_near: pitch alone: at most a semitone off.

    Raises:
        ValueError: if there are no labels, or no clip has a pitch.
    """
    parts = [_answers(judge, clip) for clip in batches]
    right, near, total = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("right", "near", "total")
    )
    told = total.sum(1) > 0
    if not told.any():
        raise ValueError("not one of the clips has what this judge tells")
    answers = Answers(right[told], near[told], total[told])
    return list(_accuracies(judge, answers, protocol))


def _answers(judge: Classifier, clip: Clip) -> Answers:
    count = len(clip)
    if judge.config.target == "pitch":
        steps = judge.steps(clip)
        guesses = judge.to_logits(steps).argmax(-1)
        truth = judge.pitches(clip, steps.shape[1])
    else:
        guesses = judge.logits(clip).argmax(1).view(count, -1)
        truth = judge.labels(clip).view(count, -1)
    known = truth >= 0
    classes = torch.nn.functional.one_hot(truth.clamp(min=0), judge.classes).double()

    def sums(decisions: Tensor) -> Float64[np.ndarray, "n k"]:
        return ((decisions & known)[..., None] * classes).sum(1).cpu().numpy()

    return Answers(sums(guesses == truth), sums((guesses - truth).abs() <= 1), sums(known))


def _accuracies(judge: Classifier, answers: Answers, protocol: JudgeProtocol) -> Iterator[Row]:
    total = answers.total
    each = total.sum(1)
    common = int(total.sum(0).argmax())
    pitch = judge.config.target == "pitch"
    metrics = {"accuracy": answers.right} | ({"accuracy_near": answers.near} if pitch else {})
    for metric, counts in metrics.items():
        yield _row(JUDGE, metric, _mean(counts.sum(1) / each, protocol), protocol)
        reach = (common - 1, common + 2) if metric == "accuracy_near" else (common, common + 1)
        usual = total[:, max(0, reach[0]) : reach[1]].sum(1) / each
        yield _row(MAJORITY, metric, _mean(usual, protocol), protocol)
        hits = (3 - 2 / judge.classes) if metric == "accuracy_near" else 1.0
        yield _constant(metric, hits / judge.classes, len(total), protocol)
    macro = bootstrap_statistic(
        lambda w: _macro(w @ answers.right, w @ total), len(total), protocol
    )
    yield _row(JUDGE, "accuracy_macro", macro, protocol)
    occurring = int((total.sum(0) > 0).sum())
    yield _constant("accuracy_macro", 1 / occurring, len(total), protocol, name=MAJORITY)
    yield _constant("accuracy_macro", 1 / judge.classes, len(total), protocol)


def _macro(
    right: Float64[np.ndarray, "r k"], total: Float64[np.ndarray, "r k"]
) -> Float64[np.ndarray, " r"]:
    """Mean over the classes that occur of the share that is right."""
    there = total > 0
    shares = np.divide(right, total, out=np.zeros_like(right), where=there)
    return shares.sum(1) / there.sum(1)


# ---- Correspondence ------------------------------------------------------------------------------


def correspondence_scores(
    judge: Correspondence, batches: Iterator[Clip], indices: list[int], protocol: JudgeProtocol
) -> list[Row]:
    """Rows of a judge of what belongs together, by the cosine of a sound and a picture.

    Metrics:
        auc_other: probability that a clip's own sound is nearer to its picture than that of another
            clip is to the picture of a third, ties counting half. 0.5 is chance, 1 is perfect.
        auc_shifted: the same of one's own sound in time and one's own sound from at least `shift_s`
            earlier or later, both cut out of the clip. A world that repeats itself allows less
            than 1. Clips of one frame have no time, and not this metric.
        recall_1_sound, ..._5_..., ..._10_...: share of the n pictures whose own sound is among the
            k nearest of all n sounds; `recall_1_picture` the other way round. Chance is k / n.

    Raises:
        ValueError: if the clips have no room for the shift, or cannot be judged.
    """
    moments = _moments(judge, protocol) if judge.room else None
    sounds: list[Float32[Tensor, "b d"]] = []
    pictures: list[Float32[Tensor, "b d"]] = []
    in_time: list[float] = []
    shifted: list[float] = []
    for clip in batches:
        sounds.append(judge.embed_audio(clip).cpu())
        pictures.append(judge.embed_video(clip).cpu())
        if moments is not None:
            part = slice(len(in_time), len(in_time) + len(clip))
            matched, late = _own_and_shifted(judge, clip, [at[part] for at in moments])
            in_time += matched
            shifted += late
    heard, seen = torch.cat(sounds), torch.cat(pictures)
    place = {index: row for row, index in enumerate(indices)}
    others = [place[index] for index in other_clips(indices, seed=protocol.seed)]
    own, foreign = (seen * heard).sum(1), (seen * heard[others]).sum(1)
    pairs = {"auc_other": (own.double().numpy(), foreign.double().numpy())}
    if moments is not None:
        pairs["auc_shifted"] = (np.array(in_time), np.array(shifted))
    rows = []
    for metric, (right, wrong) in pairs.items():
        rows.append(_row(JUDGE, metric, auc_interval(right, wrong, protocol), protocol))
        rows.append(_constant(metric, 0.5, len(indices), protocol))
    return rows + list(_retrieval((seen @ heard.T).double().numpy(), protocol))


def _moments(
    judge: Correspondence, protocol: JudgeProtocol
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """Two first frames for each clip, drawn for all at once: batches do not matter."""
    spec = judge.spec
    least = max(1, round(protocol.shift_s * spec.fps))
    if judge.room < least:
        raise ValueError(
            f"shift_s={protocol.shift_s}: in clips of {spec.frames} frames the judge looks at "
            f"{judge.window}, which leaves room for {judge.room / spec.fps:.2f} s"
        )
    generator = Generator().manual_seed(protocol.seed)
    return draw_moments(protocol.clips, judge.room, least, generator)


def _own_and_shifted(
    judge: Correspondence, clip: Clip, moments: Sequence[Int64[Tensor, " b"]]
) -> tuple[list[float], list[float]]:
    """Cosines of pictures with their own sound of the same and of another moment."""
    picture = judge.embed_video(cut(clip, moments[0], judge.window))
    matched, late = (
        (picture * judge.embed_audio(cut(clip, at, judge.window))).sum(1) for at in moments
    )
    return matched.tolist(), late.tolist()


def _retrieval(similarity: Float64[np.ndarray, "n n"], protocol: JudgeProtocol) -> Iterator[Row]:
    """R@k both ways; rows are pictures, columns sounds. Of equals, the right one comes last."""
    n = len(similarity)
    for way, matrix in (("sound", similarity), ("picture", similarity.T)):
        before = (matrix >= matrix.diagonal()[:, None]).sum(1) - 1
        for k in RETRIEVED:
            metric = f"recall_{k}_{way}"
            hits = _mean((before < k).astype(np.float64), protocol)
            yield _row(JUDGE, metric, hits, protocol)
            yield _constant(metric, min(1.0, k / n), n, protocol)


def auc_interval(
    matched: Float64[np.ndarray, " n"],
    mismatched: Float64[np.ndarray, " n"],
    protocol: JudgeProtocol,
) -> Interval:
    """Area under the receiver operating characteristic, with an interval over clips.

    Args:
        matched: score of each clip's right pair, shape (n,).
        mismatched: score of its wrong pair, shape (n,); resampled together with the right one.
        protocol: seed, confidence and number of resamples.

    Returns:
        Probability that a right pair scores more than a wrong one, ties counting half: 0 to 1.
    """
    difference = np.sign(matched[:, None] - mismatched[None])
    wins = (difference + 1) / 2
    return bootstrap_statistic(lambda w: ((w @ wins) * w).sum(1), len(matched), protocol)


# ---- Rows ----------------------------------------------------------------------------------------


def bootstrap_statistic(statistic: Statistic, n: int, protocol: JudgeProtocol) -> Interval:
    """A number that is no mean over clips, with its percentile bootstrap interval.

    Args:
        statistic: the number as a function of the clips' weights, for several sets of them.
        n: number of clips.
        protocol: seed, confidence and number of resamples.

    Source:
        Efron and Tibshirani 1993, chapter 13.
    """
    generator = np.random.default_rng(protocol.seed)
    even = np.full(n, 1 / n)
    found = []
    for start in range(0, protocol.resamples, 200):  # Bounds the memory.
        count = min(200, protocol.resamples - start)
        found.append(statistic(generator.multinomial(n, even, size=count) / n))
    tail = (1 - protocol.confidence) / 2
    low, high = np.quantile(np.concatenate(found), (tail, 1 - tail))
    return Interval(float(statistic(even[None])[0]), float(low), float(high), n)


def _mean(values: Float64[np.ndarray, " n"], protocol: JudgeProtocol) -> Interval:
    options = dataclasses.asdict(protocol)
    return bootstrap(values, **{key: options[key] for key in ("seed", "confidence", "resamples")})


def _row(name: str, metric: str, interval: Interval, protocol: JudgeProtocol) -> Row:
    return Row(name, metric, NO_RULE, None, *interval, protocol.seed)


def _constant(
    metric: str, value: float, n: int, protocol: JudgeProtocol, *, name: str = CHANCE
) -> Row:
    return _row(name, metric, Interval(value, value, value, n), protocol)

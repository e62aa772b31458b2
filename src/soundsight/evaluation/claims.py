"""What an evaluation is meant to show, and whether it does."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from soundsight.evaluation.forecasters import SHUFFLED, TRIVIAL
from soundsight.evaluation.labels import metric
from soundsight.evaluation.scores import Row, Scores

Verdict = Literal["holds", "not shown", "does not hold"]
"""`holds`: the whole interval of the difference lies on the right side of zero. `does not hold`:
on the wrong side. `not shown`: zero lies inside, more clips might decide."""


PREDICTORS = {
    "copy_last": "copying the last seen frame",
    "mean_image": "always showing the mean picture of the training data",
    "blank": "showing nothing at all",
}


class Claim(NamedTuple):
    """One forecaster is better than another."""

    text: str
    """In words, for a reader."""
    better: str
    worse: str
    metric: str
    rule: str
    frame: int | None = None
    """1-based frame of the whole clip; None: over the predicted frames."""


class Judged(NamedTuple):
    """A claim with its evidence."""

    claim: Claim
    row: Row
    """The paired difference better - worse."""
    verdict: Verdict


def default_claims(scores: Scores) -> list[Claim]:
    """Each model listens, and each model beats the predictors that learned nothing.

    Judged by the first half of the predicted frames and rule `mean`: a stochastic future diverges
    from the one that happened, and to choose the best of K needs the answer.

    Args:
        scores: of an evaluation.

    Returns:
        Claims whose evidence is among the scores.
    """
    names = set(scores.num_samples)
    rule = "mean" if "mean" in scores.protocol.rules else scores.protocol.rules[0]
    claims = []
    for model in scores.models:
        if model + SHUFFLED in names:
            text = f"{model} listens: its own sound helps it more than the sound of another clip"
            claims.append(Claim(text, model, model + SHUFFLED, "psnr_first_half", rule))
        for control in TRIVIAL:
            text = f"{model} forecasts better than {PREDICTORS[control]}"
            claims.append(Claim(text, model, control, "psnr_first_half", rule))
        if any(row.metric == "block_iou" for row in scores.rows):
            text = f"{model} finds the block better than one constant guess does"
            claims.append(Claim(text, model, "centre_block", "block_iou", rule))
    return claims


def judge(scores: Scores, claims: Iterable[Claim]) -> list[Judged]:
    """Look up the evidence for each claim.

    Args:
        scores: of an evaluation.
        claims: about pairs whose difference is among its rows.

    Returns:
        One verdict per claim.

    Raises:
        ValueError: if the scores hold no such difference.
    """
    judged = []
    for claim in claims:
        row = scores.row(f"{claim.better} - {claim.worse}", claim.metric, claim.rule, claim.frame)
        judged.append(Judged(claim, row, verdict(row)))
    return judged


def verdict(row: Row) -> Verdict:
    """What a paired difference, better minus worse, says of the claim that it is the better one."""
    low, high = (row.low, row.high)
    if not metric(row.metric).higher_is_better:
        low, high = -row.high, -row.low
    return "holds" if low > 0 else "does not hold" if high < 0 else "not shown"

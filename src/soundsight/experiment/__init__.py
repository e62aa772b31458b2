"""Whole experiments, from a recipe to a run folder and its report.

The trainer knows no evaluation and the evaluation no trainer; here they meet. There are four kinds
of experiment, and a module for each, named like the kind of the recipe's evaluation: `forecast`,
`joint` (generation from nothing), `crossmodal` (a picture of a sound, or the reverse) and `judge`.
`kinds` says what such a module has.
"""

from soundsight.experiment.runs import weights_hash
from soundsight.experiment.scoring import JUDGES, run_evaluation, write_evaluation
from soundsight.experiment.training import run_training, validator

__all__ = [
    "JUDGES",
    "run_evaluation",
    "run_training",
    "validator",
    "weights_hash",
    "write_evaluation",
]

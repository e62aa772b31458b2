"""One evaluation for all tests of what is made of it."""

import pytest
from tests.evaluation.little_world import Listener, Oracle, Squares, evaluate

from soundsight.evaluation.scores import Scores


@pytest.fixture(scope="session")
def scores() -> Scores:
    """One evaluation with everything in it."""
    dataset = Squares(block=True)
    return evaluate(
        {"listener": Listener(), "oracle": Oracle(dataset)}, dataset, seed=3, diversity_clips=5
    )

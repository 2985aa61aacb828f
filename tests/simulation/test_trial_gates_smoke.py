"""The promise of a pipeline's trial on a few runs; `trial_gates.py` beside it measures it."""

import pytest

from tests.simulation.gates import pairs
from tests.simulation.trial_gates import WORSE, passes
from tests.unit.training.defects import world
from trimtab.spec import Task

RUNS, ROWS = 3, 10_000


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_an_equal_pipeline_passes_and_one_that_is_five_percent_worse_never_does(task: Task) -> None:
    for seed in range(RUNS):
        equal, _, *worse = pairs(*world(task, ROWS, seed), seed, WORSE)
        assert passes(equal)
        assert not any(passes(one) for one in worse)

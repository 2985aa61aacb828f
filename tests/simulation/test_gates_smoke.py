"""The promise of the default gates against the champion on a few runs; `gates.py` beside it measures it."""

import pytest

from tests.simulation.gates import pairs
from tests.unit.training.defects import world
from trimtab.spec import Task

RUNS, ROWS = 3, 10_000


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_an_equal_candidate_passes_and_a_worse_one_never_does(task: Task) -> None:
    for seed in range(RUNS):
        equal, worse = (pair.against() for pair in pairs(*world(task, ROWS, seed), seed))
        assert [result.sentence for result in equal if not result.passed] == []
        assert [result.passed for result in worse] != [True, True]

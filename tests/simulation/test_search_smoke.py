"""The search's bench on one small world; `search.py` beside it measures the examples."""

from pathlib import Path

from tests.simulation.search import World, line, played, summary
from tests.unit.training.data import last
from tests.unit.training.toys import toy
from trimtab.spec import Budget


def test_a_world_is_searched_before_its_cut_and_scored_after_it(tmp_path: Path) -> None:
    _, spec = toy(tmp_path, count=500)
    one = played(World("toy", 7, spec, last(400), last(500)), Budget(4), 1, tmp_path / "work")
    assert (one.rows, one.later, one.trials) == (400, 100, 4)
    assert summary([one])["toy"]["searched rmse"] == one.searched["rmse"] < 2.0
    assert set(one.library) == set(one.untried) == set(one.searched)
    assert line(one).endswith(f"{one.estimator} (4)")

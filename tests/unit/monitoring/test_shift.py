import numpy as np
import pytest

from trimtab.monitoring.columns import Table
from trimtab.monitoring.shift import weights
from trimtab.schema import Feature

FEATURES = (Feature("load", "number"), Feature("site", "category", ("east", "north", "west")), Feature("age", "number"))


def rows(generator: np.random.Generator, count: int, *, east: float = 0.3, load: float = 0.0, gone: float = 0.1) -> Table:
    site = generator.choice(4, count, p=[east, 0.8 - east, 0.2, 0.0]).astype(float)
    age = np.where(generator.random(count) < gone, np.nan, generator.gamma(2.0, 10.0, count))
    return {"load": generator.normal(load, 1.0, count), "site": site, "age": age}


def test_nothing_moved_is_nothing_weighed(generator: np.random.Generator) -> None:
    found = [weights(FEATURES, rows(generator, 4000), rows(generator, 2000)) for _ in range(20)]
    assert [one.tolist() == [1.0] * 4000 for one in found].count(True) >= 19


@pytest.mark.parametrize(
    ("moved", "column", "share"),
    [
        pytest.param({"east": 0.6}, "site", lambda column: column == 0, id="a category"),
        pytest.param({"load": 0.8}, "load", lambda column: column > 1.0, id="a number"),
        pytest.param({"gone": 0.4}, "age", np.isnan, id="what is missing"),
    ],
)
def test_weighed_rows_are_distributed_as_the_windows(generator: np.random.Generator, moved: dict[str, float], column: str, share) -> None:  # type: ignore[no-untyped-def]
    known, asked = rows(generator, 8000), rows(generator, 8000, **moved)
    found = weights(FEATURES, known, asked)
    assert found.mean() == pytest.approx(1.0)
    assert np.average(share(known[column]), weights=found) == pytest.approx(share(asked[column]).mean(), abs=0.03)


def test_rows_that_never_were_in_the_holdout_do_not_blow_up_the_others(generator: np.random.Generator) -> None:
    asked = rows(generator, 1000)
    asked["site"][:] = 3.0
    found = weights(FEATURES, rows(generator, 1000), asked)
    assert np.isfinite(found).all()
    assert found.max() < 50.0

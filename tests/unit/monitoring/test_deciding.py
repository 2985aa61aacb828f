import numpy as np
import pytest

from trimtab.monitoring.columns import Column, comparable, table
from trimtab.monitoring.deciding import CEILING, ColumnTest, Drift, check, lasting, level, persistent, window_p
from trimtab.monitoring.effects import effect, effects
from trimtab.schema import PREDICTION, Schema
from trimtab.units import persistence

from .folders import FEATURES, ScipyDetector, instances, truth

SCHEMA = Schema("regression", "y", FEATURES)
RULE = persistence("2 of 3")


@pytest.mark.parametrize(
    ("hits", "rule", "expected"),
    [
        pytest.param([], "1 of 1", False, id="no window, nothing"),
        pytest.param([True], "1 of 1", True, id="one of one"),
        pytest.param([True], "2 of 3", False, id="one is not two"),
        pytest.param([True, True], "2 of 3", True, id="two of the first two are two of three"),
        pytest.param([True, False, True], "2 of 3", True, id="with a gap"),
        pytest.param([True, True, False], "2 of 3", False, id="the newest must be one of them"),
        pytest.param([True, False, False, True], "2 of 3", False, id="what is older than three does not count"),
    ],
)
def test_persistent(hits: list[bool], rule: str, expected: bool) -> None:
    assert persistent(hits, persistence(rule)) == expected


@pytest.mark.parametrize(
    ("p", "size", "moved"),
    [
        pytest.param(1e-9, 0.5, True, id="significant and large"),
        pytest.param(1e-9, 0.1, False, id="significant but small"),
        pytest.param(1e-3, 0.5, False, id="large but not significant at the budget's level"),
        pytest.param(float("nan"), 0.5, False, id="no p-value, no move"),
    ],
)
def test_a_column_moved(p: float, size: float, moved: bool) -> None:
    columns = [Column("load", "number", "load"), Column("heat", "number", "heat")]
    tests = {"load": ColumnTest(p, 0.1), "heat": ColumnTest(0.5, 0.1)}
    drift = check(columns, tests, {"load": size, "heat": 0.0}, span_days=1.0, effect=0.2)
    assert (drift.columns["load"].moved, drift.columns["heat"].moved) == (moved, False)


def test_the_adjusted_p_value_decides_and_the_detectors_own_stays_beside_it() -> None:
    columns = [Column("load", "number", "load")]
    found = check(columns, {"load": ColumnTest(1e-9, 0.1, adjusted=1e-3, rows=80.0)}, {"load": 0.5}, 1.0, 0.2).columns["load"]
    assert (found.moved, found.p, found.adjusted, found.deciding, found.rows) == (False, 1e-9, 1e-3, 1e-3, 80.0)


def test_a_windows_own_p_value_is_its_smallest_times_the_columns() -> None:
    columns = [Column(name, "number", name) for name in ("load", "heat", "wind")]
    tests = {"load": ColumnTest(0.01, 0.1, adjusted=0.1), "heat": ColumnTest(0.02, 0.1), "wind": ColumnTest(float("nan"), 0.0)}
    assert window_p(check(columns, tests, dict.fromkeys(tests, 0.0), 1.0, 0.2)) == pytest.approx(0.04)
    assert window_p(Drift(failed="not judged")) == 1.0


def test_level_is_proportional_to_data_time_and_bounded() -> None:
    assert level(1.0) == pytest.approx(0.7 / 1000 / 4)
    assert level(14.0) == pytest.approx(14 * level(1.0))
    assert level(1e9) == CEILING


def test_only_a_column_that_moved_itself_often_enough_is_lasting() -> None:
    columns = [Column("load", "number", "load"), Column("heat", "number", "heat")]

    def window(*moved: str) -> Drift:
        tests = {column.name: ColumnTest(1e-9 if column.name in moved else 0.5, 0.1) for column in columns}
        return check(columns, tests, {"load": 0.5, "heat": 0.9}, 1.0, 0.2)

    assert lasting([window("load"), window("heat")], RULE, prediction=False) == []
    assert lasting([window("load"), window("heat"), window("heat", "load")], RULE, prediction=False) == ["heat", "load"]
    assert lasting([window("load"), window("load")], RULE, prediction=True) == []


@pytest.mark.parametrize(
    ("kind", "old", "new", "expected"),
    [
        pytest.param("number", [0.0, 1.0] * 50, [1.0, 2.0] * 50, 2.0, id="a shift of one at a deviation of a half"),
        pytest.param("number", [0.0, 1.0] * 50, [0.0, 1.0, np.nan] * 30, 0.0, id="missing numbers are left out"),
        pytest.param("number", [5.0] * 50, [5.0] * 30 + [6.0] * 10, 0.25, id="a constant counts what differs"),
        pytest.param("number", [0.0, 1.0] * 50, [0.0, 1.0] * 49 + [0.0, 1e308], 0.2, id="an absurd value is held at ten spans"),
        pytest.param("category", [0.0] * 50 + [1.0] * 50, [0.0] * 25 + [1.0] * 75, 0.25, id="a quarter of the shares moved"),
        pytest.param("category", [0.0] * 50, [7.0] * 50, 1.0, id="nothing in common"),
    ],
)
def test_effect(kind: str, old: list[float], new: list[float], expected: float) -> None:
    column = Column("x", kind, "x")  # type: ignore[arg-type]
    assert effect(column, np.array(old), np.array(new)) == pytest.approx(expected, abs=0.01)


def simulate(generator: np.random.Generator, windows: int, shift: float) -> list[list[str]]:
    """The lasting columns of each window of 300 rows over a day, against one reference of 2,000."""
    sample = instances(generator, 2000)
    reference = table(SCHEMA, sample, truth(sample).tolist())
    history: list[Drift] = []
    found = []
    for _ in range(windows):
        rows = instances(generator, 300, shift=shift)
        columns, left, right = comparable(SCHEMA, reference, table(SCHEMA, rows, truth(rows).tolist()))
        tests = ScipyDetector().test(columns, left, right)
        history.append(check(columns, tests, effects(columns, left, right), span_days=1.0, effect=0.2))
        found.append([name for prediction in (False, True) for name in lasting(history, RULE, prediction=prediction)])
    return found


def test_200_windows_without_drift_raise_nothing(generator: np.random.Generator) -> None:
    assert simulate(generator, 200, shift=0.0) == [[]] * 200


def test_a_planted_shift_is_found_at_the_second_window_and_named(generator: np.random.Generator) -> None:
    assert simulate(generator, 3, shift=0.6) == [[], ["load", PREDICTION], ["load", PREDICTION]]

"""Effects against SciPy, and the two divergences that are shown beside them against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from trimtab.monitoring.columns import Column, Floats
from trimtab.monitoring.deciding import ColumnTest, check
from trimtab.monitoring.effects import divergence, divergences, effect, effects, wasserstein

NUMBER, CATEGORY = Column("load", "number", "load"), Column("site", "category", "site")
LISTS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@settings(max_examples=200, deadline=None)
@given(LISTS, LISTS)
def test_the_distance_is_scipys(left: list[float], right: list[float]) -> None:
    found = wasserstein(np.sort(left), np.sort(right))
    assert found == pytest.approx(wasserstein_distance(left, right), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("rows", [pytest.param(3000, id="as many rows"), pytest.param(777, id="fewer rows")])
def test_a_number_is_measured_in_the_references_deviations_whatever_is_missing(rows: int) -> None:
    generator = np.random.default_rng(1)
    old, new = generator.gamma(2.0, 3.0, 3000), generator.gamma(2.5, 3.0, rows)
    gaps = np.concatenate([new, np.full(50, np.nan)])
    assert effect(NUMBER, old, gaps) == pytest.approx(wasserstein_distance(old, new) / old.std(), rel=1e-12)


def shares(values: Floats, cells: Floats) -> Floats:
    return np.array([(values == cell).mean() for cell in cells])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param([0, 0, 1, 1, 1, 2], [0, 1, 2, 2], id="the same categories"),
        pytest.param([0, 0, 1, 1], [0, 1, 3, 3], id="one that the reference never saw"),
        pytest.param([0, 1, 2, 2], [0, 0, 0, 1], id="one that is gone"),
        pytest.param([0, 0], [1, 1], id="nothing in common"),
    ],
)
def test_categories_by_their_definitions(old: list[float], new: list[float]) -> None:
    left, right = np.array(old, float), np.array(new, float)
    cells = np.union1d(left, right)
    p, q = shares(left, cells), shares(right, cells)
    found = divergence(CATEGORY, left, right)
    assert effect(CATEGORY, left, right) == pytest.approx(np.abs(p - q).sum() / 2)
    assert found.jensen_shannon == pytest.approx(jensenshannon(p, q, base=2), abs=1e-12)
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    assert found.psi == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_a_number_is_cut_at_the_references_tenths() -> None:
    """A uniform number of which all of the window is in the upper half: five cells of 0, five of 0.2, against ten of 0.1."""
    found = divergence(NUMBER, np.arange(1000.0), np.arange(500.0, 1000.0))
    expected = 5 * ((0.2 - 0.1) * math.log(2)) + 5 * ((1e-4 - 0.1) * math.log(1e-3))
    assert found.psi == pytest.approx(expected)
    assert found.jensen_shannon == pytest.approx(jensenshannon([0.1] * 10, [0.0] * 5 + [0.2] * 5, base=2))


@pytest.mark.parametrize("column", [NUMBER, CATEGORY])
def test_nothing_moved_is_nothing(column: Column) -> None:
    values = np.random.default_rng(1).integers(0, 40, 500).astype(float)
    found = divergence(column, values, values.copy())
    assert (found.psi, found.jensen_shannon, effect(column, values, values.copy())) == (0.0, 0.0, 0.0)


def test_a_constant_number_that_changes_is_not_hidden_in_a_cell() -> None:
    found = divergence(NUMBER, np.zeros(100), np.full(100, -1.0))
    assert found.jensen_shannon == pytest.approx(1.0)


def test_they_are_kept_with_the_columns_check_and_decide_nothing() -> None:
    generator = np.random.default_rng(1)
    left, right = {"load": generator.normal(0, 1, 900)}, {"load": generator.normal(3, 1, 900)}
    shown = divergences([NUMBER], left, right)
    tests = {"load": ColumnTest(0.9, 0.1)}
    found = check([NUMBER], tests, effects([NUMBER], left, right), 1.0, 0.2, shown).columns["load"]
    assert (found.psi, found.jensen_shannon, found.moved) == (shown["load"].psi, shown["load"].jensen_shannon, False)
    assert found.psi is not None
    assert found.psi > 1.0


@pytest.mark.parametrize(
    ("test", "moved"),
    [
        pytest.param(ColumnTest(0.9, 1.0, alarm=True), True, id="an alarm stands in place of a small p-value"),
        pytest.param(ColumnTest(1e-9, 1.0, alarm=False), False, id="and so does none"),
        pytest.param(ColumnTest(1e-9, 1.0, effect=0.1), False, id="the detector's own effect decides"),
        pytest.param(ColumnTest(1e-9, 1.0, effect=0.3), True, id="where it is large too"),
        pytest.param(ColumnTest(1e-4, 1.0), False, id="one of three columns has a third of the level"),
        pytest.param(ColumnTest(1e-4, 1.0, joint=True), True, id="one p-value over all of them has all of it"),
    ],
)
def test_what_a_detector_may_say_beside_its_p_value(test: ColumnTest, moved: bool) -> None:
    columns = [NUMBER, CATEGORY, Column("heat", "number", "heat")]
    tests = {column.name: test for column in columns}
    found = check(columns, tests, dict.fromkeys(tests, 0.5), span_days=1.0, effect=0.2)
    assert {column.moved for column in found.columns.values()} == {moved}

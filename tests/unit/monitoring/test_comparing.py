"""One window against its reference: what decides, what is assumed, and what a seasonal reference sees."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.monitoring.folders import ScipyDetector, write_folder
from trimtab.monitoring.columns import Table, comparable
from trimtab.monitoring.comparing import compare, length_of, weigh
from trimtab.monitoring.deciding import ColumnTest, Drift
from trimtab.monitoring.reference import Length, Reference, length, read_reference
from trimtab.schema import PREDICTION, Feature, Metrics, Schema
from trimtab.spec import Monitoring, ReferencePolicy, Window

HOUR, DAY = 3600.0, 86_400.0
SCHEMA = Schema("regression", "y", (Feature("x", "number"), Feature("c", "category", ("a", "b"))))
SEASONAL = Monitoring(reference=ReferencePolicy(seasonal=True))


def rows(generator: np.random.Generator, times: np.ndarray, shift: float = 0.0) -> Table:
    """A number that follows the hour of the day by a whole deviation, and a category that does."""
    cycle = np.sin(2 * np.pi * times / DAY)
    x = cycle + generator.standard_normal(len(times)) + shift
    c = (generator.random(len(times)) < 0.5 + 0.3 * cycle).astype(float)
    return {"x": x, "c": c, PREDICTION: generator.standard_normal(len(times))}


def reference(generator: np.random.Generator, times: np.ndarray) -> Reference:
    known = times[np.isfinite(times)]
    table = rows(generator, np.nan_to_num(times))
    span = float(known.max() - known.min()) / DAY if len(known) else 0.0
    empty = np.array([])
    return Reference(SCHEMA, Metrics({}, "rmse", 1.0, len(times), 0), table, empty, empty, span, len(times), times)


@pytest.fixture
def half_a_year(generator: np.random.Generator) -> Reference:
    return reference(generator, np.sort(generator.uniform(0, 180 * DAY, 10_000)))


def test_of_a_morning_only_a_seasonal_reference_can_tell_drift_from_the_hour(
    half_a_year: Reference, generator: np.random.Generator
) -> None:
    times = np.sort(generator.uniform(200 * DAY + 5 * HOUR, 200 * DAY + 7 * HOUR, 2000))
    found = {
        (policy is SEASONAL, shift): compare(half_a_year, rows(generator, times, shift), times, ScipyDetector(), policy, 1 / 12)
        for policy in (Monitoring(), SEASONAL)
        for shift in (0.0, 1.0)
    }

    def moved(seasonal: bool, shift: float) -> list[str]:
        return [name for name, one in found[seasonal, shift].columns.items() if one.moved]

    assert found[False, 0.0].columns["x"].effect > 0.5 > 0.2 > found[True, 0.0].columns["x"].effect
    assert (moved(False, 0.0), moved(True, 0.0), moved(True, 1.0)) == ([], [], ["x"])
    assert found[False, 0.0].columns["x"].p < 1e-12, "the raw test takes the hour for drift"


@pytest.mark.parametrize("times", [np.full(2000, np.nan), np.linspace(0, 3 * DAY, 2000)], ids=["no times", "three days"])
def test_where_dependence_cannot_be_known_the_evidence_says_what_was_assumed(generator: np.random.Generator, times: np.ndarray) -> None:
    window = np.sort(generator.uniform(10 * DAY, 11 * DAY, 5000))
    found = compare(reference(generator, times), rows(generator, window), window, ScipyDetector(), SEASONAL, 1.0)
    assert "had to be assumed: this one counts as at most 100 independent rows" in found.note
    assert all((one.rows or 0) <= 100 for one in found.columns.values())
    assert ("the reference has no times" in found.note) == bool(np.isnan(times).all())


def test_what_was_known_needs_no_note(half_a_year: Reference, generator: np.random.Generator) -> None:
    window = np.sort(generator.uniform(200 * DAY, 201 * DAY, 5000))
    found = compare(half_a_year, rows(generator, window), window, ScipyDetector(), Monitoring(), 1.0)
    assert found.note == ""
    assert isinstance(found, Drift)


def test_a_column_is_measured_once_for_windows_of_one_length(half_a_year: Reference, generator: np.random.Generator) -> None:
    for day in (200, 201, 202):
        window = np.sort(generator.uniform(day * DAY, (day + 1) * DAY, 3000))
        compare(half_a_year, rows(generator, window), window, ScipyDetector(), Monitoring(window=Window(every="24h")), 1.0)
    names = ("x", "spread(x)", "c", PREDICTION, f"spread({PREDICTION})")
    assert set(half_a_year.cached) == {(name, Length(DAY, aligned=True), False) for name in names}


@pytest.mark.parametrize("policy", [Monitoring(), SEASONAL], ids=["all rows", "the window's hours"])
def test_a_wider_number_is_significant_though_its_middle_stays(
    policy: Monitoring, half_a_year: Reference, generator: np.random.Generator
) -> None:
    times = np.sort(generator.uniform(200 * DAY, 201 * DAY, 5000))
    window = rows(generator, times)
    found = {}
    for scale in (1.0, 1.5**0.5):
        asked = window | {PREDICTION: scale * window[PREDICTION]}
        found[scale] = compare(half_a_year, asked, times, ScipyDetector(), policy, 1.0).columns[PREDICTION]
    assert (found[1.0].significant, found[1.5**0.5].significant) == (False, True)
    assert found[1.5**0.5].effect > 0.15


def test_a_test_of_all_columns_together_gets_the_dependence_of_the_most_dependent(
    half_a_year: Reference, generator: np.random.Generator
) -> None:
    window = rows(generator, np.sort(generator.uniform(200 * DAY, 200 * DAY + HOUR, 2000)))
    columns, left, right = comparable(SCHEMA, half_a_year.table, window)
    tests = {column.name: ColumnTest(1e-6, 0.9, law="normal") for column in columns}
    alone = {name: half_a_year.dependence(column, left[name], length(HOUR), seasonal=False) for column in columns for name in [column.name]}
    weighed, _ = weigh(half_a_year, columns, tests, left, right, length(HOUR), None)
    joint, _ = weigh(half_a_year, columns, tests, {n: v for n, v in left.items() if n != PREDICTION}, right, length(HOUR), None)
    assert max(alone[PREDICTION].directions) < max(alone["x"].directions)
    assert (weighed[PREDICTION].adjusted or 0) < (joint[PREDICTION].adjusted or 0)


@pytest.mark.parametrize(
    ("window", "count", "expected"),
    [
        pytest.param(Window(every="24h"), 100, Length(DAY, aligned=True), id="a period that rows did not fill"),
        pytest.param(Window(rows=100, every="24h"), 100, length(99 * 60.0), id="rows that filled it earlier"),
        pytest.param(Window(rows=100), 100, length(99 * 60.0), id="by rows alone"),
        pytest.param(Window(every="24h", panes=4), 100, length(99 * 60.0), id="a sliding window begins anywhere"),
    ],
)
def test_how_long_a_window_is(window: Window, count: int, expected: Length) -> None:
    assert length_of(np.arange(count) * 60.0, window) == expected


def test_a_reference_that_was_read_knows_its_rows_times(tmp_path: Path) -> None:
    found = read_reference(write_folder(tmp_path / "1").folder)
    assert len(found.times) == found.rows == 2000
    assert (np.diff(found.times) == HOUR).all()

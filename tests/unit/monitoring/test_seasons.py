"""A window is compared with rows of its own hours and weekdays, in its own mix."""

import numpy as np
import pytest

from trimtab.monitoring.seasons import LEAST_IN_HOUR, alike, cells, hours

HOUR, DAY, WEEK = 3600.0, 86_400.0, 7 * 86_400.0
REFERENCE = np.arange(0, 26 * WEEK, HOUR)
SPARSE = np.arange(0, 2 * WEEK, HOUR)


def test_hours_of_the_week_begin_at_midnight_on_the_thursday_of_1970() -> None:
    assert hours(np.array([0.0, HOUR, DAY, WEEK, np.nan])).tolist() == [0, 1, 24, 0, -1]


@pytest.mark.parametrize(
    "window",
    [
        pytest.param(np.arange(30 * WEEK, 30 * WEEK + DAY, 60.0), id="one day"),
        pytest.param(np.arange(30 * WEEK + 5 * HOUR, 30 * WEEK + 7 * HOUR, 10.0), id="two hours"),
        pytest.param(np.arange(30 * WEEK, 31 * WEEK, 600.0), id="a week"),
    ],
)
def test_the_drawn_rows_have_the_windows_hours_in_its_mix(window: np.ndarray) -> None:
    drawn = alike(REFERENCE, window)
    theirs = np.bincount(hours(REFERENCE[drawn.places]), minlength=168) / len(REFERENCE)
    assert np.abs(theirs - np.bincount(hours(window), minlength=168) / len(window)).max() <= 1 / len(REFERENCE) + 1e-9
    assert len(drawn.places) == len(REFERENCE)


def test_rows_drawn_more_than_once_are_not_worth_more() -> None:
    assert alike(REFERENCE, np.arange(0, WEEK, 60.0)).rows == pytest.approx(len(REFERENCE))
    assert alike(REFERENCE, np.arange(0, DAY, 60.0)).rows == pytest.approx(len(REFERENCE) / 7)


def test_where_an_hour_of_the_week_has_too_few_rows_the_hour_of_any_day_stands_for_it() -> None:
    found = alike(SPARSE, np.arange(30 * WEEK, 30 * WEEK + HOUR, 60.0))
    assert {float(time % DAY) for time in SPARSE[found.places]} == {0.0}
    assert len({float(time // DAY) for time in SPARSE[found.places]}) == 14 > LEAST_IN_HOUR


def test_where_the_hour_of_the_day_has_too_few_all_rows_stand_for_it_as_they_do_for_rows_without_a_time() -> None:
    few = np.arange(0, 5 * DAY, HOUR)
    assert np.unique(alike(few, np.array([30 * WEEK])).places).tolist() == list(range(len(few)))
    assert np.unique(alike(REFERENCE, np.array([np.nan])).places).tolist() == list(range(len(REFERENCE)))


def test_a_row_of_the_reference_without_a_time_is_drawn_only_where_all_are() -> None:
    holes = REFERENCE.copy()
    holes[::5] = np.nan
    assert np.isfinite(holes[alike(holes, np.arange(0, DAY, 60.0)).places]).all()
    assert cells(holes, np.array([np.nan, 0.0])).tolist() == [192, 0]

import numpy as np
import pytest

from trimtab.monitoring.traffic import DAY, HOUR, WEEK, Span, changed, gone

MONDAY = 4 * DAY
"""A midnight on which a week begins: 1970 began on a Thursday."""


def hours(weeks: int, *, nights: bool = True, rows: int = 100) -> list[Span]:
    """A window an hour; without nights, from 8 to 20 alone."""
    places = [hour for hour in range(weeks * 168) if nights or 8 <= hour % 24 < 20]
    return [Span(MONDAY + hour * HOUR, MONDAY + (hour + 1) * HOUR - 1, rows) for hour in places]


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        pytest.param(1.0, None, id="a day like all others"),
        pytest.param(1.5, None, id="half as much again is growth"),
        pytest.param(2.0, "doubled", id="twice as much"),
        pytest.param(0.5, None, id="half as much may be a holiday"),
        pytest.param(0.1, "gone", id="next to nothing"),
    ],
)
def test_a_day_is_held_against_the_same_day_of_earlier_weeks(factor: float, expected: str | None) -> None:
    windows = hours(4, nights=False)
    last = windows[-1].start - 12 * HOUR
    found = changed([Span(one.start, one.end, int(one.rows * factor) if one.start > last else one.rows) for one in windows])
    assert (found.check if found else None) == expected
    assert found is None or "same hours of 3 earlier weeks" in found.sentence


def test_nothing_is_said_before_two_weeks_are_known() -> None:
    windows = hours(2)
    assert changed([*windows[:-24], *(Span(one.start, one.end, one.rows * 9) for one in windows[-24:])]) is None


def test_a_long_window_is_held_against_earlier_ones_as_long() -> None:
    months = [Span(number * 30 * DAY, (number + 1) * 30 * DAY - 1, 5000) for number in range(7)]
    assert changed(months) is None
    shorter = [*months, Span(months[-1].end + 1, months[-1].end + 14 * DAY, 5000)]
    found = changed(shorter)
    assert found is not None
    assert found.check == "doubled"


@pytest.mark.parametrize(
    ("weeks", "nights", "at", "silence", "expected"),
    [
        pytest.param(3, True, 0.0, 0.5 * HOUR, False, id="half an hour is nothing"),
        pytest.param(3, True, 0.0, 2 * HOUR, True, id="two hours without a row where each had a hundred"),
        pytest.param(3, False, -4 * HOUR, 11 * HOUR, False, id="a night of a model that sleeps"),
        pytest.param(3, False, -4 * HOUR, 15 * HOUR, True, id="the morning after it"),
        pytest.param(1, True, 0.0, 20 * HOUR, False, id="of a young model nothing is said"),
    ],
)
def test_silence(weeks: int, nights: bool, at: float, silence: float, expected: bool) -> None:
    found = gone(hours(weeks, nights=nights), MONDAY + weeks * WEEK + at, silence)
    assert (found is not None) == expected
    assert found is None or found.sentence.startswith("no row has come for")


def test_a_year_of_days_with_noise_raises_nothing() -> None:
    generator = np.random.default_rng(5)
    usual = np.tile([900, 1000, 1000, 1100, 1300, 500, 300], 52) * np.linspace(1.0, 1.7, 364)
    windows = [Span(day * DAY, (day + 1) * DAY - 1, int(generator.poisson(rows))) for day, rows in enumerate(usual)]
    assert [changed(windows[:count]) for count in range(1, len(windows) + 1)] == [None] * 364

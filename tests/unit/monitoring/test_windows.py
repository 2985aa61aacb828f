from datetime import timedelta

import pytest

from trimtab.monitoring.windows import close, enough, pane, ripe
from trimtab.spec import Window

HOUR = 3600.0
HOURLY = [HOUR * n for n in range(100)]


@pytest.mark.parametrize(
    ("times", "watermark", "rows", "every", "expected"),
    [
        pytest.param(HOURLY, HOUR * 99, 48, None, [(0, 48), (48, 96)], id="full windows close, the rest waits"),
        pytest.param(HOURLY[:48], HOUR * 47, 48, None, [], id="a full window waits until the watermark has left it behind"),
        pytest.param(HOURLY[:48], HOUR * 48, 48, None, [(0, 48)], id="an hour past 47 is more than 2%"),
        pytest.param(HOURLY[:47], HOUR * 999, 48, None, [], id="a window that is not full waits however late it is"),
        pytest.param([], HOUR, 48, None, [], id="no rows, no window"),
        pytest.param([0.0] * 48, 59.0, 48, None, [], id="rows at one moment wait a minute"),
        pytest.param([0.0] * 48, 60.0, 48, None, [(0, 48)], id="and close after it"),
        pytest.param(HOURLY, HOUR * 99, 1000, 24, [(0, 24), (24, 48), (48, 72), (72, 96)], id="a period closes what it has"),
        pytest.param(HOURLY[5:20], HOUR * 25, 1000, 24, [(0, 15)], id="a period's window ends with the period, not with its last row"),
        pytest.param(HOURLY[5:20], HOUR * 24, 1000, 24, [], id="a period waits for its allowance too"),
        pytest.param([*HOURLY[:5], *HOURLY[72:75]], HOUR * 99, 1000, 24, [(0, 5), (5, 8)], id="an empty period makes no window"),
        pytest.param(HOURLY[:40], HOUR * 99, 16, 24, [(0, 16), (16, 24), (24, 40)], id="rows or period, whichever is first"),
    ],
)
def test_close(times: list[float], watermark: float, rows: int, every: int | None, expected: list[tuple[int, int]]) -> None:
    closed = close(times, watermark, rows, timedelta(hours=every) if every else None)
    assert [(window.first, window.stop) for window in closed] == expected
    assert all((window.start, window.end) == (times[window.first], times[window.stop - 1]) for window in closed)


@pytest.mark.parametrize("every", [None, timedelta(hours=24)])
@pytest.mark.parametrize("rows", [16, 48])
def test_whatever_can_be_closed_is_ripe(rows: int, every: timedelta | None) -> None:
    """And it is not ripe as soon as a row is there: a look at a thousand models must not read the open rows of each."""
    ripened = []
    for count in range(101):
        times, watermark = HOURLY[max(0, count - 60) : count], HOUR * count
        ends = [times[place] if place < len(times) else None for place in (0, rows - 1)]
        ripened.append(ripe(ends, watermark, every))
        assert ripened[-1] or not close(times, watermark, rows, every)
    assert 0 < sum(ripened) < len(ripened)


def test_closing_step_by_step_gives_the_same_windows_as_at_once() -> None:
    found, open_rows = [], []
    for time in HOURLY:
        open_rows.append(time)
        closed = close(open_rows, time, 20, None)
        found += [open_rows[window.first : window.stop] for window in closed]
        if closed:
            open_rows = open_rows[closed[-1].stop :]
    assert found == [HOURLY[window.first : window.stop] for window in close(HOURLY, HOURLY[-1], 20, None)]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(Window(rows=5000), (5000, None), id="one pane is the window"),
        pytest.param(Window(rows=5000, panes=4), (1250, None), id="a quarter of the rows"),
        pytest.param(Window(rows=5000, panes=3, every="24h"), (1667, timedelta(hours=8)), id="a third of the time, the rows rounded up"),
    ],
)
def test_pane(window: Window, expected: tuple[int, timedelta | None]) -> None:
    assert pane(window) == expected


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        pytest.param(Window(), 100, id="a hundred rows by default"),
        pytest.param(Window(rows=48), 48, id="all of a window that has fewer"),
        pytest.param(Window(least=2000), 2000, id="what was declared"),
    ],
)
def test_enough(window: Window, expected: int) -> None:
    assert enough(window) == expected

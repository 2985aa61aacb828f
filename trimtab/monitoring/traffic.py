"""Traffic that is gone or doubled, by what the model's own earlier windows say of the same hours of the week. Pure.

A model that nobody asks at night, or on Sundays, is not gone then: what comes is held against what came in the same hours of earlier
weeks, and only where all of them agree. Of a model that is not two weeks old nothing is said.
"""

from collections.abc import Sequence

from msgspec import Struct

from trimtab.monitoring.quality import TRAFFIC, Break

DAY = 86_400.0
WEEK = 7 * DAY
HOUR = 3600.0
WEEKS = 4
FEWEST_WEEKS = 2
USUAL_ROWS = 50.0
MORE, LESS = 1.8, 0.2


class Span(Struct, frozen=True):
    """A closed window: so many rows from `start` to `end` (seconds since 1970)."""

    start: float
    end: float
    rows: int


def changed(windows: Sequence[Span]) -> Break | None:
    """Whether the rows of the day (or of the longer window) up to the newest window's end are a fraction or a multiple of the usual.

    `windows` are the model's, oldest first.
    """
    if not windows:
        return None
    end, length = windows[-1].end, max(DAY, windows[-1].end - windows[-1].start)
    usual = _earlier(windows, end - length, end)
    if not usual or min(usual) < USUAL_ROWS:
        return None
    came = _rows(windows, end - length, end)
    days = f"{length / HOUR:.0f} hours"
    if came >= MORE * max(usual):
        sentence = f"{came:.0f} rows came in {days}, at most {max(usual):.0f} did in the same hours of {len(usual)} earlier weeks"
        return Break(TRAFFIC, "doubled", came / max(usual), sentence)
    if came <= LESS * min(usual):
        sentence = f"only {came:.0f} rows came in {days}, at least {min(usual):.0f} did in the same hours of {len(usual)} earlier weeks"
        return Break(TRAFFIC, "gone", came / min(usual), sentence)
    return None


def gone(windows: Sequence[Span], watermark: float, silence: float) -> Break | None:
    """Whether it is unusual that no row came in the `silence` seconds after the one at the watermark.

    It is where at least 50 rows came in the same hours of each earlier week; of less than an hour nothing is said.
    """
    usual = _earlier(windows, watermark, watermark + silence) if silence >= HOUR else []
    if not usual or min(usual) < USUAL_ROWS:
        return None
    hours = f"{silence / HOUR:.1f} hours"
    sentence = f"no row has come for {hours}; at least {min(usual):.0f} came in the same hours of each of {len(usual)} earlier weeks"
    return Break(TRAFFIC, "gone", 0.0, sentence)


def lookback(length: float) -> float:
    """How far back (seconds) the windows are needed to judge a span of that length."""
    return (WEEKS + 2) * _step(length)


def _step(length: float) -> float:
    return max(1.0, -(-length // WEEK)) * WEEK


def _earlier(windows: Sequence[Span], start: float, end: float) -> list[float]:
    """The rows in the same hours of up to four earlier weeks (of longer spans: of up to four earlier ones of whole weeks).

    Empty where fewer than two of them are known whole.
    """
    step = _step(end - start)
    first = min((window.start for window in windows), default=end)
    known = [_rows(windows, start - back * step, end - back * step) for back in range(1, WEEKS + 1) if start - back * step >= first]
    return known if len(known) >= FEWEST_WEEKS else []


def _rows(windows: Sequence[Span], start: float, end: float) -> float:
    """The rows between two times, those of a window spread evenly over it."""
    total = 0.0
    for window in windows:
        inside = min(end, window.end) - max(start, window.start)
        if window.end > window.start and inside > 0:
            total += window.rows * inside / (window.end - window.start)
    return total

"""When a window closes: pure, so that the same rows make the same windows however often they are looked at.

A window is consecutive rows, in event-time order, that one champion served. It closes after so many rows or so much data
time, whichever is first, and only when the watermark has left it behind by a small allowance for rows that come out of order.
A sliding window is closed in panes (Li et al., 2005): each is stored once, and what is tested is the last so many of them together.
"""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from trimtab.spec import Window
from trimtab.units import duration

FEWEST_ROWS = 100
MINIMUM_LATENESS = 60.0
LATENESS_SHARE = 0.02


class Closed(Struct, frozen=True):
    """A closed window: its rows are `first` up to and without `stop` of those given; times in seconds since 1970, `end` its last row's."""

    start: float
    end: float
    first: int
    stop: int


def pane(window: Window) -> tuple[int, timedelta | None]:
    """The rows and the data time after which a pane of the Model's `monitoring.window` closes."""
    every = duration(window.every) / window.panes if window.every else None
    return -(-window.rows // window.panes), every


def enough(window: Window) -> int:
    """The fewest rows that a window is tested with: `least`, or 100 where that is left out, and never more than it can have."""
    return min(window.rows, FEWEST_ROWS if window.least is None else window.least)


def ripe(times: Sequence[float | None], watermark: float, every: timedelta | None) -> bool:
    """Whether `close` may have something to close: `times` are those of the first open row and of the one that fills a pane, if any."""
    first, filling = times
    ends = [] if filling is None else [filling]
    if first is not None and every is not None:
        ends.append(_period_end(first, every.total_seconds()))
    return any(watermark >= end + MINIMUM_LATENESS for end in ends)


def close(times: Sequence[float], watermark: float, rows: int, every: timedelta | None) -> list[Closed]:
    """The windows that can be closed over rows at `times` (ascending, seconds), of which none is in a window yet.

    `rows` and `every` are a pane's. A window is left behind when the watermark is past its end by 2% of
    its span, at least a minute; one by `every` ends with its period, whose begin is a whole number of periods since 1970.
    """
    found: list[Closed] = []
    first = 0
    while first < len(times):
        boundary = None if every is None else _period_end(times[first], every.total_seconds())
        stop = first
        while stop < len(times) and stop - first < rows and (boundary is None or times[stop] < boundary):
            stop += 1
        full = stop - first == rows
        if not full and boundary is None:
            break
        end = times[stop - 1]
        left = end if full or boundary is None else boundary
        if watermark < left + max(MINIMUM_LATENESS, LATENESS_SHARE * (left - times[first])):
            break
        found.append(Closed(times[first], end, first, stop))
        first = stop
    return found


def _period_end(time: float, period: float) -> float:
    return (time // period + 1) * period

"""From values to pixels, and the ticks that people like to read: round numbers, round times, powers of ten. Pure."""

import math
from datetime import UTC, datetime

from msgspec import Struct

_HOUR, _DAY = 3600.0, 86_400.0
_STEPS = (60.0, 300.0, 900.0, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 2400, 6000, 12_000)


class Scale(Struct, frozen=True):
    """Values from `low` to `high` lie at pixels from `start` to `stop`; by their logarithm where `log`."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Where the value lies; one beyond the ends lies at the end."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        if self.log:
            value = math.log10(max(value, self.low))
        share = 0.5 if high <= low else (value - low) / (high - low)
        return self.start + min(1.0, max(0.0, share)) * (self.stop - self.start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most about `most` round numbers from low to high."""
    if not high > low or not math.isfinite(high - low):
        return [low] if math.isfinite(low) else []
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) + 0.0 for place in range(first, first + most + 3) if place * step <= high + step * 1e-9]


def powers(low: float, high: float, most: int = 5) -> list[float]:
    """Powers of ten from low to high, both above 0."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [10.0**power for power in range(first, last + 1) if power % step == 0]


def times(low: float, high: float, most: int = 8) -> list[tuple[float, str]]:
    """At most about `most` round times (seconds since 1970, UTC) from low to high, with their words."""
    span = high - low
    step = next((step for step in _STEPS if span / step <= most), None)
    if step is None:
        return _months(low, high, most)
    form = "%H:%M" if step < _DAY and span <= _DAY else "%m-%d %H:%M" if step < _DAY else "%m-%d" if span < 300 * _DAY else "%Y-%m-%d"
    first = math.ceil(low / step)
    return [(place * step, _word(place * step, form)) for place in range(first, math.floor(high / step) + 1)]


def _months(low: float, high: float, most: int) -> list[tuple[float, str]]:
    months = (high - low) / (30.4 * _DAY)
    step = next((step for step in _MONTHS if months / step <= most), _MONTHS[-1])
    begin, end = datetime.fromtimestamp(low, UTC), datetime.fromtimestamp(high, UTC)
    first = -(-(begin.year * 12 + begin.month - 1) // step) * step
    found = []
    for month in range(first, end.year * 12 + end.month, step):
        when = datetime(max(month // 12, 1), month % 12 + 1, 1, tzinfo=UTC)
        if when.timestamp() >= low:
            found.append((when.timestamp(), f"{when:%Y-%m}"))
    return found


def _word(seconds: float, form: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(form)

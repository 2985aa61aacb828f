"""Whether labels had time to arrive. Pure.

`data.labelDelay` says how long a label takes; a feed may take longer, and one class longer than another (a good payment is known at
once, a fraud after days): what it brought so far is then no fair sample. So beside the watermark of the requests there is one of the
labels: how far they have come, of a classification in the class that lags most. A row whose label is missing is waited for until both
have gone on for another `labelDelay`, since labels come in batches of any order. A feed that ends is not waited for without end.
"""

import math
from collections.abc import Mapping

import msgspec

from trimtab.monitoring.columns import MINIMUM_ROWS, labelled
from trimtab.schema import Schema

LABEL_SHARE = 0.5
LATE_SHARE = 0.1
WAITS = 3.0


def progress(schema: Schema, told: Mapping[bytes, float]) -> float:
    """How far the labels have come, in seconds since 1970; minus infinity where none has, of one class or at all.

    `told` is the greatest time of a label by its value (JSON), of a regression by the empty one alone.
    """
    if schema.task == "regression":
        return told.get(b"", -math.inf)
    values = [value for value in told if value]
    reached = [-math.inf] * max(len(schema.classes), 2)
    for value, place in zip(values, labelled(schema, [msgspec.json.decode(value) for value in values]), strict=True):
        if not math.isnan(place):
            reached[int(place)] = max(reached[int(place)], told[value])
    return min(reached)


def patience(start: float, end: float, delay: float) -> float:
    """How much longer a window with missing labels is waited for: another delay, at least a tenth of its span (all in seconds)."""
    return max(delay, (end - start) * LATE_SHARE)


def come(watermark: float, labels: float, waited: float) -> float:
    """How far the labels are taken to have come: not beyond the watermark, and not more than three patiences (`waited`) behind it."""
    return max(min(watermark, labels), watermark - WAITS * waited)


def mature(labels: int, rows: int, watermark: float, told: float, start: float, end: float, delay: float) -> bool:
    """Whether a window can be judged, all times in seconds: half of its rows have a label and the others can have none any more.

    `told` is how far the labels have come. With all its labels it is judged as soon as the watermark has passed its end by the delay.
    """
    if labels < max(MINIMUM_ROWS, LABEL_SHARE * rows):
        return False
    if labels == rows:
        return watermark >= end + delay
    longer = patience(start, end, delay)
    return come(watermark, told, longer) >= end + delay + longer


def given_up(watermark: float, start: float, end: float, delay: float) -> bool:
    """Whether a window is waited for no longer, however far the labels have come."""
    return watermark >= end + delay + (1 + WAITS) * patience(start, end, delay)

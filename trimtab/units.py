"""Durations, margins and persistence as people write them in a Model document.

They stay strings in the document (so that a CRD schema can check them by pattern) and become numbers here, in one place.
The patterns bound the digits: no duration is longer than some 200 years, which a calendar can be moved by both ways.
"""

import re
from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

DURATION_PATTERN = r"^([0-9]{1,8}(ms|s|m)|[0-9]{1,6}h|[0-9]{1,4}[dw])$"
MARGIN_PATTERN = r"^[-+x][0-9]{1,12}(\.[0-9]{1,12})?$"
PERSISTENCE_PATTERN = r"^[1-9][0-9]? of [1-9][0-9]?$"

Name = Annotated[
    str,
    Meta(pattern=r"^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", description="a name of at most 40 small letters, digits and hyphens"),
]
Duration = Annotated[str, Meta(pattern=DURATION_PATTERN, description="a duration such as 250ms, 90s, 30m, 24h, 180d or 2w")]
MarginText = Annotated[
    str,
    Meta(pattern=MARGIN_PATTERN, description='a margin, absolute ("+0.01", "-0.005") or relative to the champion ("x1.05")'),
]
PersistenceText = Annotated[str, Meta(pattern=PERSISTENCE_PATTERN, description='how often a finding must repeat, such as "2 of 5"')]

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
"""How long each unit of a `Duration` is."""


class Margin(Struct, frozen=True):
    """How much worse than the champion is still good enough; `relative` multiplies, otherwise it is added."""

    value: float
    relative: bool

    def bound(self, champion: float) -> float:
        """The value that the candidate is held against, given the champion's, in the metric's own unit."""
        return champion * self.value if self.relative else champion + self.value


class Persistence(Struct, frozen=True):
    """`hits` of the last `windows` windows, the newest among them."""

    hits: int
    windows: int


def duration(text: str) -> timedelta:
    """The length of a `Duration`; raises ValueError where the text is none."""
    if not re.match(DURATION_PATTERN, text):
        msg = f"{text!r} is not a duration such as 90s, 24h or 180d"
        raise ValueError(msg)
    number, unit = re.match(r"^([0-9]+)([a-z]+)$", text).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def margin(text: str) -> Margin:
    """The number behind a `MarginText`; raises ValueError where the text is none."""
    if not re.match(MARGIN_PATTERN, text):
        msg = f'{text!r} is not a margin such as "+0.01" or "x1.05"'
        raise ValueError(msg)
    return Margin(float(text.removeprefix("x")), text.startswith("x"))


def persistence(text: str) -> Persistence:
    """The counts behind a `PersistenceText`; raises ValueError where the text is none."""
    if not re.match(PERSISTENCE_PATTERN, text):
        msg = f'{text!r} is not a persistence such as "2 of 5"'
        raise ValueError(msg)
    hits, windows = (int(part) for part in text.split(" of "))
    return Persistence(hits, windows)

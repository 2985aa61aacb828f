"""What may ask for a new version by itself, and how often: the part `spec.retraining` of a Model document.

The sentence below a field is its description: in `kubectl explain`, in the CRDs and in the reference (`described.py`).
"""

from typing import Annotated, Literal

from msgspec import Meta

from trimtab.making import Closed
from trimtab.units import Duration


class Breaker(Closed, frozen=True):
    """After so many failures in a row nothing is retrained by itself until `reset` has passed."""

    failures: Annotated[int, Meta(ge=1, le=100)] = 3
    """How many Releases in a row must have ended Rejected, RolledBack or Failed."""
    reset: Duration = "7d"
    """How long the breaker stays open; a person or a changed recipe passes it."""


class Schedule(Closed, frozen=True):
    """When a new version is asked for by the clock, which is data time; of occurrences that were missed only the newest counts."""

    cron: Annotated[str, Meta(min_length=9, max_length=100, description='five fields as in crontab(5), such as "0 3 * * 1"')]
    """Minute, hour, day of the month, month and day of the week, as in crontab(5)."""
    time_zone: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+/-]{1,64}$", description="a zone of the tz database")] = "UTC"
    """The zone of the tz database that the fields are read in, such as Europe/Berlin."""


class DataWatch(Closed, frozen=True):
    """A place that is looked at every so often: a new version is asked for where there is something new."""

    uri: Annotated[str, Meta(min_length=1, max_length=2048, description="as data.uri")] | None = None
    """The place; data.uri where it is left out."""
    by: Literal["count", "digest", "partition"] = "digest"
    """What tells that something is new: more rows; other names, sizes or times of files; another folder or file than before."""
    every: Duration = "1h"
    """How often, in wall time, the place is looked at."""
    rows: Annotated[int, Meta(ge=1, le=1_000_000_000_000)] = 1
    """How many more rows it takes, where rows are counted."""


RetrainOn = Literal["performance", "concept", "drift", "schedule", "newData"]


class Retraining(Closed, frozen=True):
    """What may ask for a new version by itself, and how often."""

    on: Annotated[tuple[RetrainOn, ...], Meta(max_length=5)] = ("performance", "concept")
    """What asks for a new version: the error grew; it grew at unchanged inputs; inputs moved; the schedule; new rows came."""
    cooldown: Duration = "24h"
    """How long, in data time, after a Release the next may begin by itself."""
    max_per_day: Annotated[int, Meta(ge=1, le=1000)] = 2
    """How many Releases may begin by themselves within a day of data time."""
    breaker: Breaker = Breaker()
    schedule: Schedule | None = None
    new_data: DataWatch | None = None

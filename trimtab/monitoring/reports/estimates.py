"""A window's estimate without labels as a report tells it: its interval, and whether one may rely on it. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from trimtab.monitoring.records import WindowRecord, reliance

_DOUBTS = {"estimated": "", "unverified": "labels fell outside it"}


class Estimated(Struct, frozen=True):
    """A window's estimate; `doubt` says why one may not rely on it, and is empty where one may."""

    record: WindowRecord
    value: float
    low: float
    high: float
    doubt: str = ""


def estimated(records: Sequence[WindowRecord]) -> list[Estimated]:
    """The windows, in the order given (a version's oldest first), that carry an estimate with a value."""
    found = reliance(records)
    told = []
    for record in records:
        known = record.estimate
        if known is not None and known.value is not None and known.low is not None and known.high is not None:
            doubt = _DOUBTS.get(found[(record.version, record.window)], known.insufficient)
            told.append(Estimated(record, known.value, known.low, known.high, doubt))
    return told

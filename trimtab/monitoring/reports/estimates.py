"""A window's estimate without labels as a report tells it: its interval, and whether one may rely on it. Pure."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from trimtab.monitoring.records import WindowRecord


class Estimated(Struct, frozen=True):
    """A window's estimate; `doubt` says why one may not rely on it, and is empty where one may."""

    record: WindowRecord
    value: float
    low: float
    high: float
    doubt: str = ""


def estimated(records: Sequence[WindowRecord]) -> list[Estimated]:
    """The windows that carry an estimate with a value, in the order given.

    None of a version's is relied on once matured labels of it fell outside an interval.
    """
    found = [(record, known) for record in records if (known := getattr(record, "estimate", None)) is not None]
    usable = [(record, known) for record, known in found if None not in (known.value, known.low, known.high)]
    refuted = {record.version for record, known in usable if _outside(record, known)}
    return [
        Estimated(record, known.value, known.low, known.high, "labels fell outside it" if record.version in refuted else known.insufficient)
        for record, known in usable
    ]


def _outside(record: WindowRecord, known: Any) -> bool:
    return record.judgement is not None and not known.low <= record.judgement.value <= known.high

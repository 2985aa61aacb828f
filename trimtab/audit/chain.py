"""Decisions as a chain: each record carries the hash of the one before, so that history cannot be rewritten unseen.

The chain finds an edit, a deletion, an insertion or a reordering within what is kept. A cut tail is found by comparing the
last record with a head that was kept elsewhere (the Release's status, an export).
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec.structs import replace

from trimtab.release import DecisionRecord, Phase


def append(
    previous: DecisionRecord | None,
    *,
    at: datetime,
    data_time: datetime | None,
    phase: Phase,
    reason: str,
    sentence: str,
    weight: int = 0,
    evidence: str = "",
) -> DecisionRecord:
    """The record that follows `previous` (None: the first). `evidence` is the digest of what was looked at; times are kept in UTC."""
    record = DecisionRecord(
        sequence=previous.sequence + 1 if previous else 1,
        at=at.astimezone(UTC),
        data_time=data_time.astimezone(UTC) if data_time else None,
        phase=phase,
        reason=reason,
        sentence=sentence,
        weight=weight,
        evidence=evidence,
        previous=previous.hash if previous else "",
        hash="",
    )
    return replace(record, hash=digest(record))


def digest(record: DecisionRecord) -> str:
    """The SHA-256, in hexadecimal, over the canonical JSON (sorted names, no spaces, UTF-8) of every field but the hash."""
    content = {name: getattr(record, name) for name in record.__struct_fields__ if name != "hash"}
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


def verify(records: Sequence[DecisionRecord], head: DecisionRecord | None = None) -> str | None:
    """None if the records are a whole chain in order, else a sentence that names the first bad one.

    `head`, a record that was kept elsewhere, must be among them: so is a cut tail found.
    """
    before: DecisionRecord | None = None
    for record in records:
        name = f"record {record.sequence} ({record.reason}, {record.at:%Y-%m-%d %H:%M:%S})"
        if digest(record) != record.hash:
            return f"{name} was edited: its content does not have the hash it carries"
        expected = before.sequence + 1 if before else 1
        if record.sequence != expected:
            return f"{name} stands where record {expected} belongs: records were deleted, inserted or reordered"
        if record.previous != (before.hash if before else ""):
            return f"{name} does not follow the record that stands before it: one of them was replaced"
        before = record
    if head and not any(record.hash == head.hash for record in records):
        return f"record {head.sequence} ({head.reason}) is known from elsewhere and missing: the end was cut off or replaced"
    return None

"""Decisions as one chain a namespace: each record carries the hash of the one before and a signature, so that no change stays unseen.

The hash is over everything in a record but itself and its signature, the hash of the record before included. Whoever edits,
deletes, inserts or reorders records breaks it where they did; whoever computes all hashes anew lacks the signatures. A cut tail is
a whole chain, only shorter: it is found by anchors, which are heads that were kept elsewhere (a Release's status, a log, an export).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from trimtab.audit.record import AuditRecord
from trimtab.audit.seal import seal, sealed
from trimtab.progress import DecisionRecord
from trimtab.signing import key_id

_PURPOSE = b"trimtab.dev/audit "
"""Before the hash in what is signed, so that a signature of something else is never one of a record."""


class Anchor(Struct, frozen=True):
    """A record's number and hash as they are known from `where`, a place other than the chain."""

    namespace: str
    sequence: int
    hash: str
    where: str


class Fault(Struct, frozen=True):
    """The first record that is not what it should be, by its place among all that were read (from 1), and a sentence that says why."""

    place: int
    sentence: str


def follow(previous: AuditRecord | None, draft: AuditRecord, key: Path | None) -> AuditRecord:
    """The draft as the record after `previous` (None: the first): numbered, hashed, signed with the private key; times in UTC.

    Raises InvalidInput where the key cannot be used. Without a key it is not signed.
    """
    record = replace(
        draft,
        sequence=previous.sequence + 1 if previous else 1,
        previous=previous.hash if previous else "",
        at=draft.at.astimezone(UTC),
        data_time=draft.data_time.astimezone(UTC) if draft.data_time else None,
        asked=replace(draft.asked, cut=draft.asked.cut.astimezone(UTC)) if draft.asked else None,
        breaker_until=draft.breaker_until.astimezone(UTC) if draft.breaker_until else None,
        key=key_id(key) if key else "",
    )
    record = replace(record, hash=digest(record))
    return replace(record, signature=seal(_PURPOSE + record.hash.encode(), key)) if key else record


def digest(record: AuditRecord) -> str:
    """The SHA-256, in hexadecimal, over the canonical JSON (sorted names, no spaces, UTF-8) of the record without hash and signature."""
    return hashlib.sha256(msgspec.json.encode(replace(record, hash="", signature=""), order="sorted")).hexdigest()


def short(record: AuditRecord) -> DecisionRecord:
    """What a Release's status keeps of a record; number and hash anchor the chain up to it."""
    return DecisionRecord(**{name: getattr(record, name) for name in DecisionRecord.__struct_fields__})


class Chains:
    """Checks records one after the other, of any number of namespaces, each a chain of its own."""

    def __init__(self, keys: Mapping[str, bytes] | None, anchors: Iterable[Anchor] = (), exported: Iterable[Anchor] = ()) -> None:
        """`keys` are the believed public keys (PEM) by id; None looks at no signature.

        A chain may begin after a record that is among the `exported`: the ones before it were deleted once they were kept elsewhere.
        """
        self.keys = keys
        self._exported = {(anchor.namespace, anchor.sequence): anchor for anchor in exported}
        self.begins: dict[str, Anchor] = {}
        self._anchors: dict[tuple[str, int], list[Anchor]] = {}
        for anchor in anchors:
            self._anchors.setdefault((anchor.namespace, anchor.sequence), []).append(anchor)
        self.heads: dict[str, AuditRecord] = {}
        self.count = 0

    def add(self, record: AuditRecord) -> Fault | None:
        """None where it follows, else what is wrong with it."""
        self.count += 1
        said = self._said(record, self.heads.get(record.namespace))
        self.heads[record.namespace] = record
        return Fault(self.count, said) if said else None

    def end(self) -> Fault | None:
        """None where every anchor was met, else which records are missing at the end."""
        for (namespace, sequence), (anchor, *_) in sorted(self._anchors.items(), reverse=True):
            head = self.heads.get(namespace)
            last = head.sequence if head else 0
            if sequence > last:
                chain = f"the chain of namespace {namespace} ends with {last}"
                sentence = f"record {last + 1} is missing: {anchor.where} knows record {sequence}, {chain}"
                return Fault(self.count + 1, f"{sentence}: the end was cut off")
        return None

    def _said(self, record: AuditRecord, head: AuditRecord | None) -> str:
        cut = self._exported.get((record.namespace, record.sequence - 1)) if head is None else None
        expected = head.sequence + 1 if head else cut.sequence + 1 if cut else 1
        name = f"record {record.sequence} ({record.release}, {record.reason}, {record.at:%Y-%m-%d %H:%M:%S})"
        if digest(record) != record.hash:
            return f"{name} was edited: its content does not have the hash it carries"
        if record.sequence != expected:
            return f"{name} stands where record {expected} belongs: records were deleted, inserted or reordered"
        if cut and record.previous != cut.hash:
            return (
                f"{name} does not follow record {cut.sequence} of {cut.where}: what is between them was not exported, or one was replaced"
            )
        if not cut and record.previous != (head.hash if head else ""):
            return f"{name} does not follow the record that stands before it: one of them was replaced"
        if self.keys is not None and (unsigned := _unsigned(record, self.keys)):
            return f"{name} {unsigned}"
        for anchor in self._anchors.get((record.namespace, record.sequence), ()):
            if anchor.hash != record.hash:
                return f"{name} is not the one that {anchor.where} knows under this number: it was replaced"
        if cut:
            self.begins[record.namespace] = cut
        return ""


def verify(
    records: Iterable[AuditRecord],
    keys: Mapping[str, bytes] | None = None,
    anchors: Sequence[Anchor] = (),
    exported: Sequence[Anchor] = (),
) -> Fault | None:
    """None where the records are whole chains from 1, or from after an `exported` one, and reach all anchors; else the first fault."""
    chains = Chains(keys, anchors, exported)
    return next((fault for record in records if (fault := chains.add(record))), None) or chains.end()


def _unsigned(record: AuditRecord, keys: Mapping[str, bytes]) -> str:
    if not record.key or not record.signature:
        return "is not signed"
    if record.key not in keys:
        return f"is signed by the key {record.key!r}, believed are {', '.join(keys) or 'none'}"
    if not sealed(_PURPOSE + record.hash.encode(), record.signature, keys[record.key]):
        return f"has a signature that the key {record.key!r} did not make"
    return ""

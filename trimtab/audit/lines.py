"""Audit records as JSON Lines: how they are exported, and read again where nothing else of the installation is left.

A line is read strictly: it must be, byte by byte, what its record is written as, so that nothing can be said twice or beside the point.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from trimtab.audit.chain import Anchor, Chains, Fault
from trimtab.audit.record import AuditRecord
from trimtab.errors import InvalidInput

Shape = TypeVar("Shape")


class Logged(msgspec.Struct, frozen=True):
    """A line of the controller's log that holds a record."""

    record: AuditRecord


def encode(record: AuditRecord) -> bytes:
    """The record's line, without its end."""
    return msgspec.json.encode(record)


def records(lines: Iterable[bytes]) -> Iterator[AuditRecord]:
    """The records of an export; raises InvalidInput at the first line that is none."""
    for number, text in enumerate(lines, 1):
        body = text.removesuffix(b"\n")
        record = _decoded(body, AuditRecord)
        if record is None:
            msg = f"line {number} is no audit record; what `trimtab audit export` writes is allowed"
            raise InvalidInput(msg)
        if encode(record) != body:
            msg = f"line {number}: record {record.sequence} ({record.release}, {record.reason}) is not written as it was: it was edited"
            raise InvalidInput(msg)
        yield record


def check(lines: Iterable[bytes], chains: Chains) -> Fault | None:
    """The first fault of an export, a line that is no record included; what the chains' anchors know is looked for as well."""
    try:
        for record in records(lines):
            if fault := chains.add(record):
                return Fault(fault.place, f"line {fault.place}: {fault.sentence}")
    except InvalidInput as error:
        return Fault(chains.count + 1, str(error))
    return chains.end()


def anchors(lines: Iterable[bytes], where: str) -> Iterator[Anchor]:
    """The heads in an export or in the controller's log; what is neither a record nor holds one is passed over.

    Raises InvalidInput where there are none at all.
    """
    found = False
    for text in lines:
        logged = _decoded(text, Logged)
        record = logged.record if logged else _decoded(text, AuditRecord)
        if record is not None:
            found = True
            yield Anchor(record.namespace, record.sequence, record.hash, where)
    if not found:
        msg = f"{where} holds no audit record; an export or the controller's log is allowed"
        raise InvalidInput(msg)


def _decoded(text: bytes, shape: type[Shape]) -> Shape | None:
    try:
        return msgspec.json.decode(text, type=shape)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return None

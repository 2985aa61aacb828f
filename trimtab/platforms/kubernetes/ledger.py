"""The port `Ledger` on custom resources: an AuditEntry a decision, named by its number in the chain of its namespace.

The API server is the one store that every installation has, that rollbacks do not wait for more than they do already, and whose
rights already say who may read a namespace. An entry is only ever created and has no owner, so it outlives Release and Model. Its name
is taken once: of two controllers that a Lease failed to keep apart, one loses. Each record is also a line of the controller's log.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from trimtab.audit.chain import follow
from trimtab.audit.record import AuditRecord
from trimtab.errors import Conflict, InvalidInput, TrimtabError
from trimtab.platforms.kubernetes.api import Api
from trimtab.platforms.kubernetes.resources import AUDIT, MANAGED_BY, MODEL_LABEL, RELEASE_UID_LABEL
from trimtab.release import TERMINAL, Release

log = logging.getLogger("trimtab.audit")

RECENT = 16
"""How many of the newest records are looked at for what a crash kept from a status."""


class KubernetesLedger:
    """The audit store of a cluster; one that reads needs no key."""

    def __init__(
        self, api: Api, key: Path | None = None, namespace: str = "", recorded: Callable[[AuditRecord], None] | None = None
    ) -> None:
        """Signs with `key`; `records` are those of `namespace` (empty: of all); `recorded` hears of each that was added.

        Nothing is asked yet.
        """
        self._api, self._key, self._namespace, self._recorded = api, key, namespace, recorded
        self._lock = threading.Lock()
        self._chains: dict[str, threading.Lock] = {}
        self._heads: dict[str, AuditRecord | None] = {}
        self._lasts: dict[str, AuditRecord | None] = {}

    def last(self, release: Release) -> AuditRecord | None:
        """The last record about the Release, or None: asked of the API server once, by name, for there may be very many.

        Of a controller that crashed a few records may be ahead of the statuses; they are among the newest of the namespace. An older one
        that is ahead would be recorded once more.
        """
        uid, namespace = release.metadata.uid, release.metadata.namespace
        with self._chain(namespace):
            if namespace not in self._heads:
                self._open(namespace)
            if uid not in self._lasts:
                known = release.status.decisions[-1:]
                self._lasts[uid] = self._at(namespace, known[0].sequence) if known else None
            return self._lasts[uid]

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        """Keep the draft as the next record of its namespace's chain; raises Conflict where another writer was there first.

        After any failure what is known of the chain is asked anew, by `last`: the entry may have been made.
        """
        namespace, uid = draft.namespace, draft.release_uid
        with self._chain(namespace):
            if namespace not in self._heads or self._lasts.get(uid) != last:
                msg = f"another decision about {draft.release!r} was recorded meanwhile"
                raise Conflict(msg)
            try:
                record = follow(self._heads[namespace], draft, self._key)
                self._api.create(AUDIT, _body(record))
            except TrimtabError:
                self._heads.pop(namespace, None)
                self._lasts.pop(uid, None)
                raise
            self._heads[namespace] = record
            if record.phase in TERMINAL:
                self._lasts.pop(uid, None)
            else:
                self._lasts[uid] = record
            log.info("%s/%s: record %d", namespace, record.release, record.sequence, extra={"record": msgspec.to_builtins(record)})
        if self._recorded:
            self._recorded(record)
        return record

    def of(self, release: Release) -> list[AuditRecord]:
        """All records about a Release, first to last."""
        found = self._api.pages(AUDIT, release.metadata.namespace, f"{RELEASE_UID_LABEL}={release.metadata.uid}")
        return sorted(map(_record, found), key=lambda one: one.sequence)

    def records(self) -> Iterator[AuditRecord]:
        """All records, in the order of each chain: names are numbers of one length, and the API server lists by name."""
        return map(_record, self._api.pages(AUDIT, self._namespace))

    def delete(self, record: AuditRecord) -> None:
        """Delete a record's entry, as an administrator may and no controller: one that was exported, the oldest first."""
        self._api.delete(AUDIT, record.namespace, name_of(record.sequence))

    def after(self, namespace: str, sequence: int) -> Iterator[AuditRecord]:
        """The records of a chain after that number, in order; where the oldest were deleted, from the first one that is kept."""
        found = self._at(namespace, sequence + 1)
        if found is None:
            first = self._first(namespace)
            found = first if first and first.sequence > sequence else None
        while found:
            yield found
            found = self._at(namespace, found.sequence + 1)

    def older(self, namespace: str, moment: datetime) -> int:
        """The number of a chain's last record from before `moment`, 0 where there is none."""
        record = self._head(namespace)
        while record and record.at >= moment:
            record = self._at(namespace, record.sequence - 1)
        return record.sequence if record else 0

    def _chain(self, namespace: str) -> threading.Lock:
        with self._lock:
            return self._chains.setdefault(namespace, threading.Lock())

    def _open(self, namespace: str) -> None:
        """Find the head of a namespace, and what its newest records are about."""
        head = self._head(namespace)
        length = head.sequence if head else 0
        for number in range(max(length - RECENT, 0) + 1, length + 1):
            if record := self._at(namespace, number):
                self._lasts[record.release_uid] = record
        self._heads[namespace] = head

    def _head(self, namespace: str) -> AuditRecord | None:
        """The last record of a namespace: from the first one that is kept names have no gap, so twice as far is asked for, then halfway."""
        found = self._first(namespace)
        if found is None:
            return None
        before, low, high = found.sequence - 1, 1, 2
        while record := self._at(namespace, before + high):
            found, low, high = record, high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if record := self._at(namespace, before + middle):
                found, low = record, middle
            else:
                high = middle
        return found

    def _first(self, namespace: str) -> AuditRecord | None:
        """The oldest record of a namespace that is kept."""
        body = next(self._api.pages(AUDIT, namespace, size=1), None)
        return _record(body) if body else None

    def _at(self, namespace: str, sequence: int) -> AuditRecord | None:
        body = self._api.get(AUDIT, namespace, name_of(sequence))
        return _record(body) if body else None


def name_of(sequence: int) -> str:
    """What the entry of a number is called; names sort as numbers do."""
    return f"{sequence:010d}"


def _body(record: AuditRecord) -> dict[str, Any]:
    labels = {**MANAGED_BY, MODEL_LABEL: record.model, RELEASE_UID_LABEL: record.release_uid}
    metadata = {"name": name_of(record.sequence), "namespace": record.namespace, "labels": labels}
    return {"metadata": metadata, "record": msgspec.to_builtins(record)}


def _record(body: dict[str, Any]) -> AuditRecord:
    try:
        return msgspec.convert(body.get("record"), AuditRecord)
    except msgspec.ValidationError as error:
        msg = f"the AuditEntry {body['metadata'].get('namespace')}/{body['metadata']['name']} is no record: {error}"
        raise InvalidInput(msg) from error

"""The port `Ledger` on custom resources: an AuditEntry a decision, named by its number in the chain of its namespace.

The API server is the one store that every installation has, that rollbacks do not wait for more than they do already, and whose
rights already say who may read a namespace. An entry is only ever created and has no owner, so it outlives Release and Model. Its name
is taken once: of two controllers that a Lease failed to keep apart, one loses. Each record is also a line of the controller's log.
"""

import logging
import threading
from collections.abc import Iterator
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


class KubernetesLedger:
    """The audit store of a cluster; one that reads needs no key."""

    def __init__(self, api: Api, key: Path | None = None, namespace: str = "") -> None:
        """Signs with `key`; `records` are those of `namespace` (empty: of all). Nothing is asked yet."""
        self._api, self._key, self._namespace = api, key, namespace
        self._lock = threading.Lock()
        self._chains: dict[str, threading.Lock] = {}
        self._heads: dict[str, AuditRecord | None] = {}
        self._lasts: dict[str, AuditRecord | None] = {}

    def last(self, release: Release) -> AuditRecord | None:
        """The last record about the Release, or None; asked of the API server once."""
        uid = release.metadata.uid
        if uid not in self._lasts:
            self._lasts[uid] = next(reversed(self.of(release)), None)
        return self._lasts[uid]

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        """Keep the draft as the next record of its namespace's chain; raises Conflict where another writer was there first.

        After any failure what is known of the chain is asked anew: the entry may have been made.
        """
        namespace, uid = draft.namespace, draft.release_uid
        with self._lock:
            chain = self._chains.setdefault(namespace, threading.Lock())
        with chain:
            if self._lasts.get(uid) != last:
                msg = f"another decision about {draft.release!r} was recorded meanwhile"
                raise Conflict(msg)
            try:
                head = self._heads[namespace] if namespace in self._heads else self._head(namespace)
                record = follow(head, draft, self._key)
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
        return record

    def of(self, release: Release) -> list[AuditRecord]:
        """All records about a Release, first to last."""
        found = self._api.pages(AUDIT, release.metadata.namespace, f"{RELEASE_UID_LABEL}={release.metadata.uid}")
        return sorted(map(_record, found), key=lambda one: one.sequence)

    def records(self) -> Iterator[AuditRecord]:
        """All records, in the order of each chain: names are numbers of one length, and the API server lists by name."""
        return map(_record, self._api.pages(AUDIT, self._namespace))

    def _head(self, namespace: str) -> AuditRecord | None:
        """The last record of a namespace: names have no gap, so it is found by asking for twice as far, and then halfway."""
        low, high = 0, 1
        found: AuditRecord | None = None
        while body := self._api.get(AUDIT, namespace, name_of(high)):
            found, low, high = _record(body), high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if body := self._api.get(AUDIT, namespace, name_of(middle)):
                found, low = _record(body), middle
            else:
                high = middle
        return found


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

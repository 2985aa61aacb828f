"""The port `Ledger` in the state's SQLite file: one chain a namespace, in a table that nothing else is deleted with.

Each record is also written to `audit.jsonl` beside it, which is what a changed end of the table is found by. The file is brought up to
date when the ledger is opened for writing, so a crash between the two is mended.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from trimtab.audit.chain import follow
from trimtab.audit.lines import encode
from trimtab.audit.record import AuditRecord
from trimtab.errors import Conflict, InvalidInput, Unavailable
from trimtab.platforms.local.database import connected, transaction
from trimtab.release import Release

_SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    namespace TEXT NOT NULL, sequence INTEGER NOT NULL, release TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (namespace, sequence)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS audit_by_release ON audit (release, sequence);
"""


Recorded = Callable[[AuditRecord], None]


class _Place(Struct):
    namespace: str
    sequence: int


class SqliteLedger:
    """The audit store of a state folder; one that reads needs no key."""

    def __init__(self, path: Path, key: Path | None = None, export: Path | None = None, recorded: Recorded | None = None) -> None:
        """Opens the database `path`, signs with `key` and writes each record to `export` too; raises InvalidInput where it cannot.

        `recorded` hears of each record that was added.
        """
        self._key, self._export, self._recorded = key, export, recorded
        self._exported: dict[str, int] = {}
        try:
            self._connection = connected(path, _SCHEMA)
            if export:
                self._exported = _exported(export)
                for record in self.records():
                    self._tell(record)
        except (OSError, sqlite3.Error) as error:
            msg = f"the audit records in {str(path.parent)!r} cannot be kept: {error}; name another folder with --state"
            raise InvalidInput(msg) from error

    def last(self, release: Release) -> AuditRecord | None:
        """The last record about the Release, or None."""
        query = "SELECT body FROM audit WHERE release = ? ORDER BY sequence DESC LIMIT 1"
        return next(self._read(query, release.metadata.uid), None)

    def append(self, draft: AuditRecord, last: AuditRecord | None) -> AuditRecord:
        """Keep the draft as the next record of its namespace's chain; raises Conflict where `last` is not its Release's last any more."""
        with transaction(self._connection, "the audit store"):
            found = next(self._read("SELECT body FROM audit WHERE release = ? ORDER BY sequence DESC LIMIT 1", draft.release_uid), None)
            if (found.hash if found else "") != (last.hash if last else ""):
                msg = f"another decision about {draft.release!r} was recorded meanwhile"
                raise Conflict(msg)
            head = next(self._read("SELECT body FROM audit WHERE namespace = ? ORDER BY sequence DESC LIMIT 1", draft.namespace), None)
            record = follow(head, draft, self._key)
            row = (record.namespace, record.sequence, record.release_uid, encode(record))
            self._connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", row)
        if self._recorded:
            self._recorded(record)
        self._tell(record)
        return record

    def of(self, release: Release) -> list[AuditRecord]:
        """All records about a Release, first to last."""
        return list(self._read("SELECT body FROM audit WHERE release = ? ORDER BY sequence", release.metadata.uid))

    def records(self) -> Iterator[AuditRecord]:
        """All records, namespace by namespace, in the order of each chain."""
        return self._read("SELECT body FROM audit ORDER BY namespace, sequence")

    def after(self, namespace: str, sequence: int) -> Iterator[AuditRecord]:
        """The next records of a chain after that number, at most 100, in order; nothing of the file is held while they are looked at."""
        query = "SELECT body FROM audit WHERE namespace = ? AND sequence > ? ORDER BY sequence LIMIT 100"
        return iter([*self._read(query, namespace, sequence)])

    def older(self, namespace: str, moment: datetime) -> int:
        """The number of a chain's last record from before `moment`, 0 where there is none."""
        newest = self._read("SELECT body FROM audit WHERE namespace = ? ORDER BY sequence DESC", namespace)
        return next((record.sequence for record in newest if record.at < moment), 0)

    def namespaces(self) -> list[str]:
        """Whose chains there are."""
        return [name for (name,) in self._connection.execute("SELECT DISTINCT namespace FROM audit")]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read(self, query: str, *given: str | int) -> Iterator[AuditRecord]:
        with closing(self._connection.execute(query, given)) as rows:
            for (body,) in rows:
                try:
                    yield msgspec.json.decode(body, type=AuditRecord)
                except (msgspec.MsgspecError, UnicodeError) as error:
                    msg = f"the audit store holds something that is no record: {error}"
                    raise InvalidInput(msg) from error

    def _tell(self, record: AuditRecord) -> None:
        if self._export is None or record.sequence <= self._exported.get(record.namespace, 0):
            return
        try:
            with self._export.open("ab") as stream:
                stream.write(encode(record) + b"\n")
        except OSError as error:
            msg = f"{str(self._export)!r} cannot be written: {error.strerror}"
            raise Unavailable(msg) from error
        self._exported[record.namespace] = record.sequence


def _exported(export: Path) -> dict[str, int]:
    """The last number of each namespace in the file; half a line, from a process that was killed while it wrote it, is cut off."""
    found: dict[str, int] = {}
    if not export.exists():
        return found
    whole = 0
    with export.open("rb+") as stream:
        for text in stream:
            if not text.endswith(b"\n"):
                break
            whole += len(text)
            try:
                place = msgspec.json.decode(text, type=_Place)
            except msgspec.MsgspecError:
                continue
            found[place.namespace] = max(place.sequence, found.get(place.namespace, 0))
        stream.truncate(whole)
    return found

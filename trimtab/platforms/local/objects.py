"""Models, Releases and people's words in one SQLite file: what an API server and its etcd are on a cluster.

Every write is one transaction; a status write compares the resource version, so that of two writers one loses and looks
again. Several processes may hold it open: the control loop, the monitor (which creates Releases) and the CLI.
"""

import sqlite3
import uuid
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from trimtab.control.ports import Kind
from trimtab.errors import Conflict, InvalidInput
from trimtab.platforms.local.database import connected, transaction
from trimtab.spec import Model

_NAME = "the state database"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (kind, namespace, name)
) WITHOUT ROWID;
"""


class SqliteObjects:
    """The port `Objects` on one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Opens, and where needed creates, the file; raises InvalidInput where it cannot be written."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = connected(path, _SCHEMA)
        except (OSError, sqlite3.Error) as error:
            msg = f"the state folder {str(path.parent)!r} cannot be written: {error}; name another one with --state"
            raise InvalidInput(msg) from error

    def get(self, kind: type[Kind], namespace: str, name: str) -> Kind | None:
        """The object, or None."""
        query = "SELECT body, version FROM objects WHERE kind = ? AND namespace = ? AND name = ?"
        row = self._connection.execute(query, (kind.__name__, namespace, name)).fetchone()
        return _decode(kind, *row) if row else None

    def all_of(self, kind: type[Kind]) -> list[Kind]:
        """All objects of the kind, oldest first."""
        rows = self._connection.execute("SELECT body, version FROM objects WHERE kind = ?", (kind.__name__,)).fetchall()
        found = [_decode(kind, *row) for row in rows]
        return sorted(found, key=lambda item: (item.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC), item.metadata.name))

    def create(self, item: Kind) -> Kind:
        """Create it, atomically on its name; raises Conflict where the name is taken."""
        made = replace(
            item,
            metadata=replace(
                item.metadata, uid=str(uuid.uuid4()), generation=1, resource_version="1", creation_timestamp=datetime.now(UTC)
            ),
        )
        key: tuple[str, str, str] = (type(item).__name__, item.metadata.namespace, item.metadata.name)
        with transaction(self._connection, _NAME):
            if self._connection.execute("SELECT 1 FROM objects WHERE kind = ? AND namespace = ? AND name = ?", key).fetchone():
                msg = f"{key[0]} {item.metadata.name!r} exists already"
                raise Conflict(msg)
            self._connection.execute("INSERT INTO objects VALUES (?, ?, ?, 1, ?)", (*key, msgspec.json.encode(made)))
        return made

    def write_status(self, item: Kind) -> Kind:
        """Write the status if the resource version is still the stored one, else raise Conflict."""
        return self._swap(item, item)

    def write_spec(self, model: Model) -> Model:
        """Write a Model's spec as a user's edit does: the generation grows; raises Conflict where it was changed meanwhile."""
        return self._swap(model, replace(model, metadata=replace(model.metadata, generation=model.metadata.generation + 1)))

    def _swap(self, item: Kind, changed: Kind) -> Kind:
        version = int(item.metadata.resource_version or 0) + 1
        written = replace(changed, metadata=replace(changed.metadata, resource_version=str(version)))
        key: tuple[str, str, str] = (type(item).__name__, item.metadata.namespace, item.metadata.name)
        statement = "UPDATE objects SET version = ?, body = ? WHERE kind = ? AND namespace = ? AND name = ? AND version = ?"
        with transaction(self._connection, _NAME):
            cursor = self._connection.execute(statement, (version, msgspec.json.encode(written), *key, version - 1))
            if cursor.rowcount != 1:
                msg = f"{key[0]} {item.metadata.name!r} was changed meanwhile"
                raise Conflict(msg)
        return written

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _decode(kind: type[Kind], body: bytes, version: int) -> Kind:
    item: Kind = msgspec.json.decode(body, type=kind)
    return replace(item, metadata=replace(item.metadata, resource_version=str(version)))

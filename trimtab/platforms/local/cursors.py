"""How far the webhook was told, in the state's SQLite file."""

import sqlite3
from datetime import datetime
from pathlib import Path

from trimtab.errors import InvalidInput
from trimtab.platforms.local.database import connected, transaction

_SCHEMA = """
CREATE TABLE IF NOT EXISTS told (namespace TEXT PRIMARY KEY, sequence INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told_since (at TEXT NOT NULL);
"""
_NAME = "how far the webhook was told"


class SqliteCursors:
    """The cursors of a state folder."""

    def __init__(self, path: Path) -> None:
        """Opens the database `path`; raises InvalidInput where it cannot."""
        try:
            self._connection = connected(path, _SCHEMA)
        except sqlite3.Error as error:
            msg = f"{_NAME} cannot be kept in {str(path.parent)!r}: {error}; name another folder with --state"
            raise InvalidInput(msg) from error

    def began(self, otherwise: datetime) -> datetime:
        """Since when there is a notifier, which is kept; `otherwise` where there was none before."""
        with transaction(self._connection, _NAME):
            found = self._connection.execute("SELECT at FROM told_since").fetchone()
            if found is None:
                found = (otherwise.isoformat(),)
                self._connection.execute("INSERT INTO told_since VALUES (?)", found)
        return datetime.fromisoformat(found[0])

    def all(self) -> dict[str, int]:
        """By namespace the number of the last record that was told of."""
        with transaction(self._connection, _NAME):
            return dict(self._connection.execute("SELECT namespace, sequence FROM told").fetchall())

    def move(self, namespace: str, sequence: int) -> None:
        """Keep a cursor."""
        with transaction(self._connection, _NAME):
            self._connection.execute("INSERT OR REPLACE INTO told VALUES (?, ?)", (namespace, sequence))

    def forget(self) -> None:
        """Begin anew the next time: nobody was told of what is decided until then."""
        with transaction(self._connection, _NAME):
            self._connection.execute("DELETE FROM told")
            self._connection.execute("DELETE FROM told_since")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

"""How the state's SQLite file is opened and written: by several processes at once, and on disk when a write returns."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import Unavailable


def connected(path: Path, schema: str) -> sqlite3.Connection:
    """The file with the tables of `schema`, made where they are not there; raises sqlite3.Error where it cannot be."""
    connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.executescript(schema)
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """All that is written within, or nothing; raises Unavailable where `name`, as the sentence calls the file, does not answer."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        msg = f"{name} did not answer: {error}"
        raise Unavailable(msg) from error

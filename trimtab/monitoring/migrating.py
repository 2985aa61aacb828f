"""A store's tables are this program's: made where there are none, and migrated where an older program made them (alembic).

It happens when a store is opened, in the writer's own transaction: nobody calls a command, two programs that start together do it
once, and one that is killed in the middle has done nothing. A store that knows a migration which this program does not was written
by a newer one, and is left alone.
"""

from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from trimtab.errors import InvalidInput
from trimtab.monitoring.tables import metadata

FOLDER = Path(__file__).parent / "migrations"


def migrate(connection: sa.Connection, now: datetime) -> None:
    """Make the tables be this program's, within the transaction; raises InvalidInput where a newer program wrote them."""
    context = MigrationContext.configure(connection)
    script = ScriptDirectory(str(FOLDER))
    head, current = script.get_current_head(), context.get_current_revision()
    if current == head:
        return
    if current is None and not sa.inspect(connection).has_table("rows"):
        metadata.create_all(connection)
        context.stamp(script, head or "")
        return
    if current is not None and not _known(script, current):
        msg = f"the monitor's database was written by a newer Trimtab: its tables are {current!r}, this program's {head!r}; start that one"
        raise InvalidInput(msg)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    with EnvironmentContext(Config(), script, fn=lambda revision, _: script._upgrade_revs("head", revision)) as environment:
        environment.configure(connection, transactional_ddl=True)
        environment.get_context().opts["now"] = now.timestamp()
        environment.run_migrations()


def _known(script: ScriptDirectory, revision: str) -> bool:
    try:
        return script.get_revision(revision) is not None
    except CommandError:
        return False

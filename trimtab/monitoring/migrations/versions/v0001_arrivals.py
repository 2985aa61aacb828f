"""Events are known by digests that are numbered as they came, accepted rows and labels are tallied, windows say when they were cleared.

A window's estimate without labels is kept too. Before it are the stores that have no `alembic_version`. Identities of old stores
count as received now: they are kept as long as those of events that come today.
"""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_REQUEST = "org.kubeflow.serving.inference.request"
_COUNT = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_CHUNK = 1000


def upgrade() -> None:
    """Carry events and waiting answers over, give rows the number of their event, count what is there."""
    op.create_table(
        "arrivals",
        sa.Column("seq", _COUNT, primary_key=True, autoincrement=False),
        sa.Column("identity", sa.LargeBinary, nullable=False),
        sa.Column("received", sa.Float, nullable=False),
    )
    op.create_table(
        "waiting",
        sa.Column("identity", sa.LargeBinary, primary_key=True),
        sa.Column("received", sa.Float, nullable=False),
        sa.Column("predictions", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "tallies",
        *(sa.Column(name, sa.String, primary_key=True) for name in ("model", "version", "what")),
        sa.Column("count", _COUNT, nullable=False),
    )
    op.add_column("windows", sa.Column("cleared", sa.Float))
    op.add_column("windows", sa.Column("estimate", sa.LargeBinary))
    op.add_column("rows", sa.Column("event", _COUNT))
    _number()
    op.create_index("arrivals_identity", "arrivals", ["identity"], unique=True)
    op.drop_index("rows_event", "rows")
    with op.batch_alter_table("rows") as rows:
        rows.alter_column("event", existing_type=_COUNT, nullable=False)
        rows.drop_column("source")
    op.create_index("rows_event", "rows", ["event", "position"], unique=True)
    _carry_waiting()
    op.drop_table("events")
    op.drop_table("responses")
    _count()


def _identity(source: str, name: str, kind: str) -> bytes:
    return hashlib.blake2b("\0".join((source, name, kind)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _number() -> None:
    """Number the events; a request's number goes to its rows."""
    connection = op.get_bind()
    now = op.get_context().opts["now"]
    events = sa.table("events", *map(sa.column, ("id", "source", "type")))
    rows = sa.table("rows", *map(sa.column, ("id", "source", "event")))
    arrivals = sa.table("arrivals", *map(sa.column, ("seq", "identity", "received")))
    named = (rows.c.id == sa.bindparam("i")) & (rows.c.source == sa.bindparam("s"))
    after: tuple[Any, ...] = ("", "", "")
    number = 0
    key = sa.tuple_(events.c.id, events.c.source, events.c.type)
    while True:
        question = sa.select(events).where(key > sa.tuple_(*map(sa.literal, after))).order_by(events.c.id, events.c.source, events.c.type)
        found = connection.execute(question.limit(_CHUNK)).all()
        if not found:
            return
        numbered = list(enumerate(found, number + 1))
        connection.execute(
            sa.insert(arrivals),
            [{"seq": seq, "identity": _identity(row.source, row.id, row.type), "received": now} for seq, row in numbered],
        )
        asked = [{"n": seq, "i": row.id, "s": row.source} for seq, row in numbered if row.type == _REQUEST]
        if asked:
            connection.execute(sa.update(rows).where(named).values(event=sa.bindparam("n")), asked)
        number += len(found)
        after = tuple(found[-1])


def _carry_waiting() -> None:
    connection = op.get_bind()
    responses = sa.table("responses", *map(sa.column, ("id", "source", "received", "predictions")))
    waiting = sa.table("waiting", *map(sa.column, ("identity", "received", "predictions")))
    found = [
        {"identity": _identity(row.source, row.id, _REQUEST), "received": row.received, "predictions": row.predictions}
        for row in connection.execute(sa.select(responses))
    ]
    if found:
        connection.execute(sa.insert(waiting), found)


def _count() -> None:
    for what, condition in (
        ("rows", "TRUE"),
        ("answered", "prediction IS NOT NULL"),
        ("untimed", "time IS NULL"),
        ("late", '"window" = -1'),
    ):
        op.execute(
            f"INSERT INTO tallies SELECT model, version, '{what}', count(*) FROM rows WHERE {condition} GROUP BY model, version"  # noqa: S608
        )
    op.execute("INSERT INTO tallies SELECT model, '', 'labels', count(*) FROM labels GROUP BY model")
    op.execute(
        "INSERT INTO tallies SELECT model, '', 'unknown', count(*) FROM labels "
        "WHERE NOT EXISTS (SELECT 1 FROM rows WHERE rows.model = labels.model AND rows.key = labels.key) GROUP BY model"
    )

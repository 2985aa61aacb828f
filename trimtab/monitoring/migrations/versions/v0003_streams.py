"""How far the labels of each value have come is noted: a feed that brings one class before another is waited for.

Whose labels have few values is taken for a classification; the empty value is a regression's.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_VALUES, _BYTES = 1000, 200


def upgrade() -> None:
    """Note how far the labels that are there have come."""
    op.create_table(
        "streams",
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("value", sa.LargeBinary, primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
    )
    labels = sa.table("labels", *map(sa.column, ("model", "value", "time")))
    streams = sa.table("streams", *map(sa.column, ("model", "value", "time")))
    newest = sa.func.max(labels.c.time)
    few = sa.select(labels.c.model).group_by(labels.c.model).having(sa.func.count(labels.c.value.distinct()) <= _VALUES)
    storable = (sa.func.length(labels.c.value) <= _BYTES) & (labels.c.value != sa.literal(b"null", sa.LargeBinary))
    by_value = sa.select(labels.c.model, labels.c.value, newest).where(labels.c.model.in_(few), storable)
    whole = sa.select(labels.c.model, sa.literal(b"", sa.LargeBinary), newest).group_by(labels.c.model)
    for question in (by_value.group_by(labels.c.model, labels.c.value), whole):
        op.execute(sa.insert(streams).from_select(["model", "value", "time"], question))

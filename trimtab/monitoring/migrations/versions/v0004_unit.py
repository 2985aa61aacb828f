"""A row keeps whose request brought it: a hash of what the gateway assigned the caller to a version by."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; rows that are there have none."""
    op.add_column("rows", sa.Column("unit", sa.String))

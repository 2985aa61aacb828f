"""A window keeps what its version's answers rested on. Of windows that were closed before, nobody asks any more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, and say of older windows that they were not asked."""
    op.add_column("windows", sa.Column("explanation", sa.LargeBinary))
    windows = sa.table("windows", sa.column("explanation"))
    op.execute(sa.update(windows).values(explanation=b'{"failed":"not asked: the window is older than the question"}'))

"""Numbers of workloads, names that are claimed, workloads that were removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("workloads", sa.Column("number", sa.BigInteger(), nullable=True))
    op.add_column("workloads", sa.Column("claimed_name", sa.String(length=128), nullable=True))
    op.add_column("workloads", sa.Column("removed_at", Moment(timezone=True), nullable=True))
    op.create_index("ix_workloads_number", "workloads", ["number"], unique=True)
    claimed = sa.text("claimed_name IS NOT NULL")
    op.create_index(
        "ix_workloads_claimed",
        "workloads",
        ["owner", "claimed_name"],
        unique=True,
        sqlite_where=claimed,
        postgresql_where=claimed,
    )
    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.bulk_insert(counters, [{"name": "workloads", "value": 0}])


def downgrade() -> None:
    """Take back."""
    op.drop_table("counters")
    op.drop_index("ix_workloads_claimed", "workloads")
    op.drop_index("ix_workloads_number", "workloads")
    for name in ("removed_at", "claimed_name", "number"):
        op.drop_column("workloads", name)

"""Workloads that are gone, and what each left behind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "fenced",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("at", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_fenced")),
    )
    left_behind = sa.text("workload_id IS NOT NULL")
    op.create_index(
        "ix_files_workload", "files", ["workload_id"], sqlite_where=left_behind, postgresql_where=left_behind
    )


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_files_workload", "files")
    op.drop_table("fenced")

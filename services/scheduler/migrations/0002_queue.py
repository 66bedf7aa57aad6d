"""The scheduler's own queue: what waits, and for whom."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    # Whatever is there already has its workflow: none of it waits here.
    op.add_column("workloads", sa.Column("awaited", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("workloads", sa.Column("cause", sa.String(length=64), nullable=True))
    op.create_table(
        "waiting",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("backends", sa.String(length=1024), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("start", sa.JSON(), nullable=False),
        sa.Column("stage", sa.String(length=16), nullable=False),
        sa.Column("unmet", sa.Integer(), nullable=False),
        sa.Column("not_before", Moment(timezone=True), nullable=True),
        sa.Column("since", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_waiting")),
        sa.UniqueConstraint("id", name=op.f("uq_waiting_id")),
    )
    lane = ["stage", "owner", "project", "priority", "backends", "seq"]
    op.create_index("ix_waiting_lane", "waiting", lane, unique=False)
    op.create_index("ix_waiting_due", "waiting", ["stage", "not_before"], unique=False)
    op.create_table(
        "dependencies",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("awaits", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("delay", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", "awaits", name=op.f("pk_dependencies")),
    )
    op.create_index(op.f("ix_dependencies_awaits"), "dependencies", ["awaits"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("dependencies")
    op.drop_table("waiting")
    with op.batch_alter_table("workloads", schema=None) as batch_op:
        batch_op.drop_column("cause")
        batch_op.drop_column("awaited")

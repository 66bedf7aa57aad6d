"""What outside workers may lease, and who they are; how far a workload's backend has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    op.add_column("workloads", sa.Column("phase", sa.String(length=64), server_default="", nullable=False))
    op.create_table(
        "pulls",
        sa.Column("number", _SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("needs_image", sa.Boolean(), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("gpu_memory", sa.BigInteger(), nullable=False),
        sa.Column("gpu_model", sa.String(length=64), nullable=True),
        sa.Column("gpu_architecture", sa.String(length=64), nullable=True),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("tried", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("worker", sa.String(length=400), nullable=True),
        sa.Column("token_hash", sa.String(length=64), nullable=True),
        sa.Column("ending", sa.String(length=32), nullable=True),
        sa.Column("accepted_at", Moment(timezone=True), nullable=False),
        sa.Column("queued_at", Moment(timezone=True), nullable=False),
        sa.Column("leased_at", Moment(timezone=True), nullable=True),
        sa.Column("seen_at", Moment(timezone=True), nullable=True),
        sa.Column("began_at", Moment(timezone=True), nullable=True),
        sa.Column("exited_at", Moment(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_pulls")),
        sa.UniqueConstraint("workload_id", "attempt", name=op.f("uq_pulls_workload_id_attempt")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_pulls_order", "pulls", ["backend", "state", "priority", "accepted_at"], unique=False)
    op.create_table(
        "pull_workers",
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("worker", sa.String(length=400), nullable=False),
        sa.Column("images", sa.Boolean(), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("gpu_memory", sa.BigInteger(), nullable=False),
        sa.Column("gpu_model", sa.String(length=64), nullable=True),
        sa.Column("gpu_architecture", sa.String(length=64), nullable=True),
        sa.Column("seen_at", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("backend", "worker", name=op.f("pk_pull_workers")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("pull_workers")
    op.drop_table("pulls")
    with op.batch_alter_table("workloads") as batch_op:
        batch_op.drop_column("phase")

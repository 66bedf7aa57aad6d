"""Arrays: their tasks, and the bundles in which these are handed out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("workloads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("tasks", sa.JSON(none_as_null=True), nullable=True))

    op.create_table(
        "arrays",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("items_of", sa.String(length=64), nullable=True),
        sa.Column("items", sa.LargeBinary(), nullable=True),
        sa.Column("inputs", sa.LargeBinary(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_arrays")),
    )
    op.create_table(
        "bundles",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("bundle", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("indices", sa.Text(), nullable=False),
        sa.Column("share", sa.Integer(), nullable=True),
        sa.Column("sent", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("ended", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("seen_at", Moment(timezone=True), nullable=False),
        sa.Column("allocation", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("workload_id", "bundle", name=op.f("pk_bundles")),
    )
    with op.batch_alter_table("bundles", schema=None) as batch_op:
        batch_op.create_index(
            "ix_bundles_open",
            ["workload_id"],
            unique=False,
            sqlite_where=sa.text("ended IS 0"),
            postgresql_where=sa.text("ended IS false"),
        )
    _create_tasks()


def _create_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("blameless", sa.Integer(), nullable=False),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.Column("canceling", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("not_before", Moment(timezone=True), nullable=True),
        sa.Column("started_at", Moment(timezone=True), nullable=True),
        sa.Column("finished_at", Moment(timezone=True), nullable=True),
        sa.Column("usage", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("outputs", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("logs", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("workload_id", "index", name=op.f("pk_tasks")),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index("ix_tasks_state", ["workload_id", "state", "index"], unique=False)
        batch_op.create_index("ix_tasks_bundle", ["workload_id", "bundle"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_table("tasks")
    op.drop_table("bundles")
    op.drop_table("arrays")
    with op.batch_alter_table("workloads", schema=None) as batch_op:
        batch_op.drop_column("tasks")

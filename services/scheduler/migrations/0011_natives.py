"""Native jobs of clusters, the attempts that they run, and who keeps which backend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _make_natives()
    _make_attempts()
    op.create_table(
        "keepers",
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=256), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("backend", name=op.f("pk_keepers")),
    )


def _make_natives() -> None:
    op.create_table(
        "natives",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("cpus", sa.Float(), nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("walltime", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("native_id", sa.String(length=256), nullable=False),
        sa.Column("seen", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("node", sa.String(length=256), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("ending", sa.String(length=32), nullable=True),
        sa.Column("incarnation", sa.String(length=64), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("retry_at", Moment(timezone=True), nullable=True),
        sa.Column("created_at", Moment(timezone=True), nullable=False),
        *(
            sa.Column(name, Moment(timezone=True), nullable=True)
            for name in ("started_at", "claimed_at", "stop_at", "ended_at")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_natives")),
    )
    op.create_index("ix_natives_backend_state", "natives", ["backend", "state"], unique=False)


def _make_attempts() -> None:
    op.create_table(
        "native_attempts",
        sa.Column("number", _SEQUENCE, autoincrement=True, nullable=False),
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("task", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("native", sa.String(length=64), nullable=True),
        sa.Column("returns", sa.Integer(), nullable=False),
        sa.Column("asked", sa.Integer(), nullable=True),
        sa.Column("ending", sa.String(length=32), nullable=True),
        sa.Column("part", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("queued_at", Moment(timezone=True), nullable=False),
        *(sa.Column(name, Moment(timezone=True), nullable=True) for name in ("given_at", "ending_at", "ended_at")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_native_attempts")),
        sa.UniqueConstraint("workload_id", "attempt", name=op.f("uq_native_attempts_workload_id_attempt")),
        sqlite_autoincrement=True,
    )
    columns = ["backend", "state", "priority"]
    op.create_index("ix_native_attempts_backend_state", "native_attempts", columns, unique=False)
    op.create_index("ix_native_attempts_native", "native_attempts", ["native"], unique=False)


def downgrade() -> None:
    """Take back."""
    for table in ("keepers", "native_attempts", "natives"):
        op.drop_table(table)

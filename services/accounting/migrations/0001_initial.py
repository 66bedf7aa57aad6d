"""The first schema: inbox and outbox, segments, their parts by day, the position in the log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _chassis()
    _segments()
    _parts()
    op.create_table(
        "log_position",
        sa.Column("stream", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_log_position"),
    )


def _chassis() -> None:
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("handled_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_inbox"),
    )
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"])
    sequence = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "outbox",
        sa.Column("seq", sequence, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(128), nullable=False),
        sa.Column("sink", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("sent_at", Moment),
        sa.PrimaryKeyConstraint("seq", name="pk_outbox"),
        sa.UniqueConstraint("id", name="uq_outbox_id"),
    )
    unsent = sa.text("sent_at IS NULL")
    op.create_index("ix_outbox_unsent", "outbox", ["seq"], sqlite_where=unsent, postgresql_where=unsent)


def _segments() -> None:
    op.create_table(
        "segments",
        sa.Column("workload_id", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("owner", sa.String(256)),
        sa.Column("project", sa.String(64)),
        sa.Column("backend", sa.String(64)),
        sa.Column("node", sa.String(256)),
        sa.Column("cpus", sa.Float),
        sa.Column("memory", sa.BigInteger),
        sa.Column("gpus", sa.Integer),
        sa.Column("gpu_model", sa.String(128)),
        sa.Column("opened_at", Moment),
        sa.Column("opened_revision", sa.Integer),
        sa.Column("opened_sequence", sa.BigInteger),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("gpu_seconds", sa.Float),
        sa.Column("memory_peak", sa.BigInteger),
        sa.Column("closed_at", Moment),
        sa.Column("closed_revision", sa.Integer),
        sa.Column("closed_sequence", sa.BigInteger),
        sa.Column("split", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("workload_id", "attempt", name="pk_segments"),
    )
    opened, closed = sa.column("opened_sequence"), sa.column("closed_sequence")
    unsplit = sa.and_(sa.column("split", sa.Boolean).is_(False), opened.is_not(None), closed.is_not(None))
    is_open = closed.is_(None)
    op.create_index("ix_segments_unsplit", "segments", ["workload_id"], sqlite_where=unsplit, postgresql_where=unsplit)
    op.create_index("ix_segments_open", "segments", ["workload_id"], sqlite_where=is_open, postgresql_where=is_open)


def _parts() -> None:
    figures = ("wall_us", "cpu_us", "cpu_used_us", "gpu_us", "gpu_used_us", "memory_mib_ms", "memory_peak")
    op.create_table(
        "parts",
        sa.Column("workload_id", sa.String(64), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("project", sa.String(64)),
        sa.Column("backend", sa.String(64), nullable=False),
        sa.Column("gpu_model", sa.String(128), nullable=False),
        sa.Column("segments", sa.Integer, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in figures),
        sa.PrimaryKeyConstraint("workload_id", "attempt", "day", name="pk_parts"),
    )
    op.create_index("ix_parts_day", "parts", ["day"])
    op.create_index("ix_parts_owner_day", "parts", ["owner", "day"])
    op.create_index("ix_parts_project_day", "parts", ["project", "day"])


def downgrade() -> None:
    for table in ("parts", "segments", "log_position", "outbox", "inbox"):
        op.drop_table(table)

"""The first schema: inbox and outbox, files, superseded bytes, uploads under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_PATH = sa.String(2048).with_variant(sa.String(2048, collation="C"), "postgresql")


def upgrade() -> None:
    _chassis()
    op.create_table(
        "files",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("key", sa.String(1024), nullable=False),
        *_content(),
        sa.PrimaryKeyConstraint("owner", "path", name="pk_files"),
        sa.UniqueConstraint("key", name="uq_files_key"),
    )
    op.create_table(
        "superseded",
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        *_content(),
        sa.Column("superseded_at", Moment, nullable=False),
        sa.Column("cause", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_superseded"),
    )
    op.create_index("ix_superseded_superseded_at", "superseded", ["superseded_at"])
    op.create_index("ix_superseded_cause", "superseded", ["cause"])
    op.create_table(
        "uploads",
        sa.Column("key", sa.String(1024), nullable=False),
        sa.Column("upload_id", sa.String(1024)),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("doomed", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("key", name="pk_uploads"),
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"])


def _content() -> tuple[sa.Column, ...]:
    return (
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content_type", sa.String(256), nullable=False),
        sa.Column("workload_id", sa.String(64)),
        sa.Column("created_at", Moment, nullable=False),
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


def downgrade() -> None:
    for table in ("uploads", "superseded", "files", "outbox", "inbox"):
        op.drop_table(table)

"""The first schema: inbox and outbox, users, projects, memberships, tokens, revocations, key pairs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WORD = sa.String(256).with_variant(sa.String(256, collation="C"), "postgresql")


def upgrade() -> None:
    _chassis()
    _people()
    _credentials()


def _people() -> None:
    op.create_table(
        "users",
        sa.Column("subject", _WORD, nullable=False),
        sa.Column("display_name", sa.String(256)),
        sa.Column("email", sa.String(256)),
        sa.Column("roles", sa.String(256), nullable=False, server_default=""),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("disabled_reason", sa.String(1024), nullable=False, server_default=""),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_users"),
    )
    op.create_table(
        "projects",
        sa.Column("name", _WORD, nullable=False),
        sa.Column("title", sa.String(256), nullable=False, server_default=""),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("changed_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_projects"),
    )
    op.create_table(
        "memberships",
        sa.Column("project", _WORD, nullable=False),
        sa.Column("subject", _WORD, nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("project", "subject", name="pk_memberships"),
    )
    op.create_index("ix_memberships_subject", "memberships", ["subject"])


def _credentials() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("revocation_id", sa.String(256), nullable=False),
        sa.Column("owner", _WORD, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("revoked_at", Moment),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("revocation_id", name="uq_tokens_revocation_id"),
    )
    op.create_index("ix_tokens_owner", "tokens", ["owner"])
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])
    op.create_table(
        "revocations",
        sa.Column("revocation_id", sa.String(256), nullable=False),
        sa.Column("owner", _WORD),
        sa.Column("reason", sa.String(1024), nullable=False, server_default=""),
        sa.Column("at", Moment, nullable=False),
        sa.Column("expires_at", Moment),
        sa.PrimaryKeyConstraint("revocation_id", name="pk_revocations"),
    )
    op.create_index("ix_revocations_expires_at", "revocations", ["expires_at"])
    op.create_table(
        "key_pairs",
        sa.Column("access_key", sa.String(64), nullable=False),
        sa.Column("owner", _WORD, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("claims", sa.Text, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("access_key", name="pk_key_pairs"),
    )
    op.create_index("ix_key_pairs_owner", "key_pairs", ["owner"])


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
    for table in (
        *("key_pairs", "revocations", "tokens", "memberships", "projects", "users"),
        *("outbox", "inbox"),
    ):
        op.drop_table(table)

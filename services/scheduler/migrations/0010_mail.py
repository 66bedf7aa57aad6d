"""Mail about workloads: whom to tell, who wants none, and how a delivery travels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "notices",
        sa.Column("workload_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=True),
        sa.Column("notify", sa.JSON(), nullable=False),
        sa.Column("closed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("workload_id", name=op.f("pk_notices")),
    )
    op.create_index(
        "ix_notices_open",
        "notices",
        ["created_at"],
        unique=False,
        sqlite_where=sa.text("closed IS 0"),
        postgresql_where=sa.text("closed IS false"),
    )
    op.create_table(
        "mail_refusals",
        sa.Column("who", sa.String(length=320), nullable=False),
        sa.Column("at", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("who", name=op.f("pk_mail_refusals")),
    )
    op.add_column("deliveries", sa.Column("channel", sa.String(length=16), server_default="webhook", nullable=False))


def downgrade() -> None:
    """Take back."""
    op.drop_column("deliveries", "channel")
    op.drop_table("mail_refusals")
    op.drop_table("notices")

"""Backends to which operators have no new work given."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "backend_drains",
        sa.Column("backend", sa.String(length=64), nullable=False),
        sa.Column("by", sa.String(length=256), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("at", Moment(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("backend", name=op.f("pk_backend_drains")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("backend_drains")

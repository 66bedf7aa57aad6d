"""Grants: what owners share with others."""

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
        "grants",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("owner", sa.String(length=256), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("grantee", sa.String(length=264), nullable=False),
        sa.Column("right", sa.String(length=16), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Moment(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("expires_at", Moment(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_grants")),
    )
    op.create_index("ix_grants_thing", "grants", ["owner", "resource", "grantee"], unique=True)
    op.create_index("ix_grants_grantee", "grants", ["grantee", "seq"])
    op.create_index("ix_grants_place", "grants", ["grantee", "place"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("grants")

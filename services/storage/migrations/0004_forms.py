"""Forms by which browsers bring files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PATH = sa.String(2048).with_variant(sa.String(2048, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "forms",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("folder", _PATH, nullable=False),
        sa.Column("guest", sa.Text),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_forms"),
    )
    op.create_index("ix_forms_owner", "forms", ["owner"])
    op.create_index("ix_forms_expires_at", "forms", ["expires_at"])
    op.create_table(
        "arrivals",
        sa.Column("form_id", sa.String(64), nullable=False),
        sa.Column("name", _PATH, nullable=False),
        sa.Column("tag", sa.String(256), nullable=False),
        sa.Column("key", sa.String(1024), nullable=False),
        sa.PrimaryKeyConstraint("form_id", "name", name="pk_arrivals"),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("arrivals")
    op.drop_table("forms")

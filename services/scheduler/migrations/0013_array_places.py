"""Arrays whose tasks go to another backend."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("arrays", sa.Column("tried", sa.Text(), nullable=False, server_default=""))
    op.add_column("arrays", sa.Column("refused", sa.Text(), nullable=False, server_default=""))
    op.add_column("bundles", sa.Column("leaving", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("bundles", sa.Column("handed_at", Moment(timezone=True), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("bundles", "handed_at")
    op.drop_column("bundles", "leaving")
    op.drop_column("arrays", "refused")
    op.drop_column("arrays", "tried")

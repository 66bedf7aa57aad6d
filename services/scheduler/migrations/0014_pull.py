"""What programs printed last; tasks of arrays that outside workers may lease, and who of them takes such."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("workloads", sa.Column("tail", sa.Text(), server_default="", nullable=False))
    op.add_column("pulls", sa.Column("of_array", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("pull_workers", sa.Column("arrays", sa.Boolean(), server_default=sa.false(), nullable=False))


def downgrade() -> None:
    """Take back."""
    op.drop_column("pull_workers", "arrays")
    op.drop_column("pulls", "of_array")
    op.drop_column("workloads", "tail")

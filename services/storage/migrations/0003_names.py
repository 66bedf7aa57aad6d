"""Folders of their own, rules of folders, usage, versions and trash; several files may share one object."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.chassis.database import Moment

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_PATH = sa.String(2048).with_variant(sa.String(2048, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    _share_objects()
    _keep_versions()
    _count_uploads()
    _create_folders()
    _create_usage()


def _share_objects() -> None:
    with op.batch_alter_table("files") as batch:
        batch.add_column(sa.Column("upload", sa.String(1024), nullable=True))
    op.execute("UPDATE files SET upload = key")
    with op.batch_alter_table("files") as batch:
        batch.drop_constraint("uq_files_key", type_="unique")
        batch.alter_column("upload", existing_type=sa.String(1024), nullable=False)
        batch.create_unique_constraint("uq_files_upload", ["upload"])
    op.create_index("ix_files_key", "files", ["key"])
    op.create_index("ix_files_created_at", "files", ["created_at"])
    op.create_index("ix_files_owner_sha256", "files", ["owner", "sha256"])


def _keep_versions() -> None:
    with op.batch_alter_table("superseded") as batch:
        batch.add_column(sa.Column("upload", sa.String(1024), nullable=True))
        batch.add_column(sa.Column("reason", sa.String(16), nullable=False, server_default="purged"))
        batch.add_column(sa.Column("doomed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute("UPDATE superseded SET upload = key")
    with op.batch_alter_table("superseded") as batch:
        batch.drop_constraint("pk_superseded", type_="primary")
        batch.alter_column("upload", existing_type=sa.String(1024), nullable=False)
        batch.create_primary_key("pk_superseded", ["upload"])
    op.create_index("ix_superseded_key", "superseded", ["key"])
    op.create_index("ix_superseded_owner_path", "superseded", ["owner", "path"])


def _count_uploads() -> None:
    op.add_column("uploads", sa.Column("owner", sa.String(256), nullable=True))
    op.add_column("uploads", sa.Column("path", _PATH, nullable=True))
    op.add_column("uploads", sa.Column("size", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index("ix_uploads_owner", "uploads", ["owner"])


def _create_folders() -> None:
    op.create_table(
        "folders",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("owner", "path", name="pk_folders"),
    )
    op.create_table(
        "rules",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("path", _PATH, nullable=False),
        sa.Column("quota", sa.BigInteger(), nullable=True),
        sa.Column("expires_after", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", Moment, nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("owner", "path", name="pk_rules"),
    )


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", name="pk_usage"),
    )
    op.execute("INSERT INTO usage SELECT owner, count(*), sum(size) FROM files GROUP BY owner")


def downgrade() -> None:
    """Take back; files that share an object must be gone before."""
    for table in ("usage", "rules", "folders"):
        op.drop_table(table)
    op.drop_index("ix_uploads_owner", "uploads")
    with op.batch_alter_table("uploads") as batch:
        for column in ("owner", "path", "size"):
            batch.drop_column(column)
    for name, table in (("owner_path", "superseded"), ("key", "superseded"), ("owner_sha256", "files")):
        op.drop_index(f"ix_{table}_{name}", table)
    op.drop_index("ix_files_created_at", "files")
    op.drop_index("ix_files_key", "files")
    with op.batch_alter_table("superseded") as batch:
        batch.drop_constraint("pk_superseded", type_="primary")
        batch.create_primary_key("pk_superseded", ["key"])
        for column in ("upload", "reason", "doomed"):
            batch.drop_column(column)
    with op.batch_alter_table("files") as batch:
        batch.drop_constraint("uq_files_upload", type_="unique")
        batch.create_unique_constraint("uq_files_key", ["key"])
        batch.drop_column("upload")

"""The tables of storage: files by path, what they were before, uploads under way, folders and what is said of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text, false

from services.chassis.database import Moment, add_chassis_tables, new_metadata
from services.chassis.grants import add_grants_table

__all__ = [
    "ARRIVALS",
    "FENCED",
    "FILES",
    "FOLDERS",
    "FORMS",
    "GRANTS",
    "INBOX",
    "METADATA",
    "OUTBOX",
    "PATH",
    "RULES",
    "SUPERSEDED",
    "UPLOADS",
    "USAGE",
]

METADATA = new_metadata()

INBOX, OUTBOX = add_chassis_tables(METADATA)

PATH = String(2048).with_variant(String(2048, collation="C"), "postgresql")
"""Paths are compared by code point everywhere: pages are cut and folders are skipped by it."""


def _content() -> tuple[Column[Any], ...]:
    return (
        Column("size", BigInteger, nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("content_type", String(256), nullable=False),
        Column("workload_id", String(64)),
        Column("created_at", Moment, nullable=False),
    )


FILES = Table(
    "files",
    METADATA,
    Column("owner", String(256), primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("key", String(1024), nullable=False, index=True),
    Column("upload", String(1024), nullable=False, unique=True),
    *_content(),
)
"""What each owner has, the object that holds the bytes, and what brought it: files of equal content share an object."""

Index("ix_files_created_at", FILES.c.created_at)
Index("ix_files_owner_sha256", FILES.c.owner, FILES.c.sha256)

_left_behind = FILES.c.workload_id.is_not(None)
Index("ix_files_workload", FILES.c.workload_id, sqlite_where=_left_behind, postgresql_where=_left_behind)

FENCED = Table(
    "fenced",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("at", Moment, nullable=False),
)
"""Workloads that are gone: whatever their runners still bring is refused."""

SUPERSEDED = Table(
    "superseded",
    METADATA,
    Column("upload", String(1024), primary_key=True),
    Column("key", String(1024), nullable=False, index=True),
    Column("owner", String(256), nullable=False),
    Column("path", PATH, nullable=False),
    *_content(),
    Column("superseded_at", Moment, nullable=False, index=True),
    Column("cause", String(128), nullable=False, index=True),
    Column("reason", String(16), nullable=False, server_default="purged"),
    Column("doomed", Boolean, nullable=False, server_default=false()),
)
"""Files that were overwritten or deleted, by the message that did it; the sweep dooms them and removes their bytes."""

Index("ix_superseded_owner_path", SUPERSEDED.c.owner, SUPERSEDED.c.path)

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("key", String(1024), primary_key=True),
    Column("upload_id", String(1024)),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("doomed", Boolean, nullable=False, server_default=false()),
    Column("owner", String(256), index=True),
    Column("path", PATH),
    Column("size", BigInteger, nullable=False, server_default="0"),
)
"""Uploads under way. The completion removes the row, unless the sweep has doomed it: only one of them decides."""

FORMS = Table(
    "forms",
    METADATA,
    Column("id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False, index=True),
    Column("folder", PATH, nullable=False),
    Column("guest", Text),
    Column("expires_at", Moment, nullable=False, index=True),
)
"""Forms by which files may still come; the guest is the `Principal` of whom they come from, if it is not the owner."""

ARRIVALS = Table(
    "arrivals",
    METADATA,
    Column("form_id", String(64), primary_key=True),
    Column("name", PATH, primary_key=True),
    Column("tag", String(256), nullable=False),
    Column("key", String(1024), nullable=False),
)
"""What came by a form and was dealt with, and the object that it became or would have become."""

GRANTS = add_grants_table(METADATA, PATH)
"""Which folders are shared with whom."""

FOLDERS = Table(
    "folders",
    METADATA,
    Column("owner", String(256), primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("created_at", Moment, nullable=False),
)
"""Folders that somebody made, with a `/` at their end. Others are there by the files that are in them."""

RULES = Table(
    "rules",
    METADATA,
    Column("owner", String(256), primary_key=True),
    Column("path", PATH, primary_key=True),
    Column("quota", BigInteger),
    Column("expires_after", BigInteger),
    Column("changed_at", Moment, nullable=False),
    Column("changed_by", String(256), nullable=False),
)
"""What was said of folders: bytes that they hold at most, seconds after which files go. The empty path is all."""

USAGE = Table(
    "usage",
    METADATA,
    Column("owner", String(256), primary_key=True),
    Column("files", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
)
"""What each owner's files come to; counted with each change, for a sum over a million rows takes too long."""

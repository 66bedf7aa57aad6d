"""The tables of storage: files by path, bytes that no file names any more, uploads under way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, String, Table, Text, false

from services.chassis.database import Moment, add_chassis_tables, new_metadata
from services.chassis.grants import add_grants_table

__all__ = ["ARRIVALS", "FILES", "FORMS", "GRANTS", "INBOX", "METADATA", "OUTBOX", "PATH", "SUPERSEDED", "UPLOADS"]

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
    Column("key", String(1024), nullable=False, unique=True),
    *_content(),
)
"""What each owner has, and the object that holds the bytes."""

SUPERSEDED = Table(
    "superseded",
    METADATA,
    Column("key", String(1024), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("path", PATH, nullable=False),
    *_content(),
    Column("superseded_at", Moment, nullable=False, index=True),
    Column("cause", String(128), nullable=False, index=True),
)
"""Files that were overwritten or deleted, by the message that did it; the sweep removes their bytes."""

UPLOADS = Table(
    "uploads",
    METADATA,
    Column("key", String(1024), primary_key=True),
    Column("upload_id", String(1024)),
    Column("expires_at", Moment, nullable=False, index=True),
    Column("doomed", Boolean, nullable=False, server_default=false()),
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

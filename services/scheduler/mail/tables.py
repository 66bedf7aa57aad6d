"""Tables about mail: who is told of which workload, and who wants none."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Index, MetaData, String, Table, false

from services.chassis.database import Moment

__all__ = ["add_mail_tables"]


def add_mail_tables(metadata: MetaData) -> tuple[Table, Table]:
    """Add them; returns `notices` and `mail_refusals`."""
    notices = Table(
        "notices",
        metadata,
        Column("workload_id", String(64), primary_key=True),
        Column("owner", String(256), nullable=False),
        Column("project", String(64)),
        Column("notify", JSON, nullable=False),
        Column("closed", Boolean, nullable=False, server_default=false()),
        Column("created_at", Moment, nullable=False),
    )
    heard = notices.c.closed.is_(False)
    Index("ix_notices_open", notices.c.created_at, sqlite_where=heard, postgresql_where=heard)
    refusals = Table(
        "mail_refusals",
        metadata,
        Column("who", String(320), primary_key=True),
        Column("at", Moment, nullable=False),
    )
    return notices, refusals

"""The table of backends to which operators have no new work given."""

from __future__ import annotations

from sqlalchemy import Column, MetaData, String, Table, Text

from services.chassis.database import Moment

__all__ = ["add_drains_table"]


def add_drains_table(metadata: MetaData) -> Table:
    """Add it. A row stays until a resume; it may outlive the backend in the file of settings."""
    return Table(
        "backend_drains",
        metadata,
        Column("backend", String(64), primary_key=True),
        Column("by", String(256), nullable=False),
        Column("message", Text, nullable=False),
        Column("at", Moment, nullable=False),
    )

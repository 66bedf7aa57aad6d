"""The table of what the site offers."""

from __future__ import annotations

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, Text

from services.chassis.database import Moment

__all__ = ["add_catalog_table"]


def add_catalog_table(metadata: MetaData) -> Table:
    """Add it. One row: the file of applications as it could be used last, and the checksum of a later one that cannot.

    The later one is named so that it is told once.
    """
    return Table(
        "catalog",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("source", Text, nullable=False),
        Column("sha256", String(64), nullable=False),
        Column("content", LargeBinary, nullable=False),
        Column("loaded_at", Moment),
        Column("broken", String(64), nullable=False),
    )

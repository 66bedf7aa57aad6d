"""The table of what was counted, for numbers that are never given twice."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table

__all__ = ["add_counters_table"]


def add_counters_table(metadata: MetaData) -> Table:
    """Add it: the last number that was given, by what is counted."""
    return Table(
        "counters",
        metadata,
        Column("name", String(32), primary_key=True),
        Column("value", BigInteger, nullable=False),
    )

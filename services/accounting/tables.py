"""The tables of the ledger: segments, their parts by UTC day, and how far the event log has been read."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Float, Index, Integer, String, Table, and_, false

from services.chassis.database import Moment, add_chassis_tables, new_metadata

__all__ = ["INBOX", "LEDGER", "METADATA", "OUTBOX", "PARTS", "POSITION", "SEGMENTS", "UNSPLIT"]

METADATA = new_metadata()

INBOX, OUTBOX = add_chassis_tables(METADATA)

SEGMENTS = Table(
    "segments",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    # What the opening move says.
    Column("owner", String(256)),
    Column("project", String(64)),
    Column("backend", String(64)),
    Column("node", String(256)),
    Column("cpus", Float),
    Column("memory", BigInteger),
    Column("gpus", Integer),
    Column("gpu_model", String(128)),
    Column("opened_at", Moment),
    Column("opened_revision", Integer),
    Column("opened_sequence", BigInteger),
    # What the closing move says; it may come first.
    Column("cpu_seconds", Float),
    Column("gpu_seconds", Float),
    Column("memory_peak", BigInteger),
    Column("closed_at", Moment),
    Column("closed_revision", Integer),
    Column("closed_sequence", BigInteger),
    Column("split", Boolean, nullable=False, server_default=false()),
)
"""One row for each attempt that held room. It counts when both moves are there and it has been split into parts."""

UNSPLIT = and_(
    SEGMENTS.c.split.is_(False), SEGMENTS.c.opened_sequence.is_not(None), SEGMENTS.c.closed_sequence.is_not(None)
)
"""Segments that have both halves but do not count yet; no row fits between two transactions."""

_open = SEGMENTS.c.closed_sequence.is_(None)
Index("ix_segments_unsplit", SEGMENTS.c.workload_id, sqlite_where=UNSPLIT, postgresql_where=UNSPLIT)
Index("ix_segments_open", SEGMENTS.c.workload_id, sqlite_where=_open, postgresql_where=_open)

PARTS = Table(
    "parts",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("day", Date, primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("backend", String(64), nullable=False),
    Column("gpu_model", String(128), nullable=False),
    Column("segments", Integer, nullable=False),
    Column("wall_us", BigInteger, nullable=False),
    Column("cpu_us", BigInteger, nullable=False),
    Column("cpu_used_us", BigInteger, nullable=False),
    Column("gpu_us", BigInteger, nullable=False),
    Column("gpu_used_us", BigInteger, nullable=False),
    Column("memory_mib_ms", BigInteger, nullable=False),
    Column("memory_peak", BigInteger, nullable=False),
)
"""The share of a segment that lies in one UTC day. Whole numbers, so that sums do not depend on their order."""

Index("ix_parts_day", PARTS.c.day)
Index("ix_parts_owner_day", PARTS.c.owner, PARTS.c.day)
Index("ix_parts_project_day", PARTS.c.project, PARTS.c.day)

POSITION = Table(
    "log_position",
    METADATA,
    Column("stream", String(64), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)
"""The last event of the log that is in the ledger."""

LEDGER = (SEGMENTS, PARTS, POSITION)
"""What the event log alone rebuilds."""

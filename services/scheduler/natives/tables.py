"""The tables of clusters: native jobs, the attempts that they run, and who keeps which backend."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

from services.chassis.database import SEQUENCE, Moment

__all__ = ["add_native_tables"]


def add_native_tables(metadata: MetaData) -> tuple[Table, Table, Table]:
    """Add them. What has ended stays for some days, so that a late word is known for one."""
    return _add_natives(metadata), _add_attempts(metadata), _add_keepers(metadata)


def _add_natives(metadata: MetaData) -> Table:
    """Add the native jobs; a row is written before its job is started."""
    natives = Table(
        "natives",
        metadata,
        Column("name", String(64), primary_key=True),
        Column("backend", String(64), nullable=False),
        Column("owner", String(256), nullable=False),
        Column("project", String(64), nullable=False),
        Column("size", Integer, nullable=False),
        Column("slots", Integer, nullable=False),
        Column("cpus", Float, nullable=False),
        Column("memory", BigInteger, nullable=False),
        Column("gpus", Integer, nullable=False),
        Column("walltime", Float, nullable=False),
        Column("state", String(16), nullable=False),
        Column("native_id", String(256), nullable=False),
        Column("seen", String(16), nullable=False),
        Column("reason", Text, nullable=False),
        Column("node", String(256), nullable=False),
        Column("exit_code", Integer),
        Column("ending", String(32)),
        Column("incarnation", String(64)),
        Column("tries", Integer, nullable=False),
        Column("error", Text, nullable=False),
        Column("retry_at", Moment),
        Column("created_at", Moment, nullable=False),
        Column("started_at", Moment),
        Column("claimed_at", Moment),
        Column("stop_at", Moment),
        Column("ended_at", Moment),
    )
    Index("ix_natives_backend_state", natives.c.backend, natives.c.state)
    return natives


def _add_attempts(metadata: MetaData) -> Table:
    """Add the attempts; of an array each bundle is one."""
    attempts = Table(
        "native_attempts",
        metadata,
        Column("number", SEQUENCE, primary_key=True, autoincrement=True),
        Column("backend", String(64), nullable=False),
        Column("workload_id", String(64), nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("priority", Integer, nullable=False),
        Column("task", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("native", String(64)),
        Column("returns", Integer, nullable=False),
        Column("asked", Integer),
        Column("ending", String(32)),
        Column("part", Text),
        Column("message", Text, nullable=False),
        Column("queued_at", Moment, nullable=False),
        Column("given_at", Moment),
        Column("ending_at", Moment),
        Column("ended_at", Moment),
        UniqueConstraint("workload_id", "attempt"),
        sqlite_autoincrement=True,
    )
    Index("ix_native_attempts_backend_state", attempts.c.backend, attempts.c.state, attempts.c.priority)
    Index("ix_native_attempts_native", attempts.c.native)
    return attempts


def _add_keepers(metadata: MetaData) -> Table:
    """Add who looks after which backend; `beat` grows while that process lives."""
    return Table(
        "keepers",
        metadata,
        Column("backend", String(64), primary_key=True),
        Column("holder", String(256), nullable=False),
        Column("beat", BigInteger, nullable=False),
    )

"""The tables of the pull backend: the attempts that lie there, and the workers that ask for them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    false,
)

from services.chassis.database import SEQUENCE, Moment

__all__ = ["add_pull_tables"]


def add_pull_tables(metadata: MetaData) -> tuple[Table, Table]:
    """Add both tables; their figures of memory are bytes, and 0 or nothing is whatever there is."""
    return _add_pulls(metadata), _add_workers(metadata)


def _add_pulls(metadata: MetaData) -> Table:
    """Add the queue. A row stays after its end, so that a late word of its worker is known for one."""
    pulls = Table(
        "pulls",
        metadata,
        Column("number", SEQUENCE, primary_key=True, autoincrement=True),
        Column("backend", String(64), nullable=False),
        Column("workload_id", String(64), nullable=False),
        Column("attempt", Integer, nullable=False),
        *_room(),
        Column("needs_image", Boolean, nullable=False),
        Column("of_array", Boolean, nullable=False, server_default=false()),
        Column("environment", String(64)),
        Column("priority", Integer, nullable=False),
        Column("task", JSON, nullable=False),
        Column("tried", JSON, nullable=False),
        Column("outputs", JSON, nullable=False),
        Column("state", String(16), nullable=False),
        Column("worker", String(400)),
        Column("token_hash", String(64)),
        Column("ending", String(32)),
        Column("accepted_at", Moment, nullable=False),
        Column("queued_at", Moment, nullable=False),
        Column("leased_at", Moment),
        Column("seen_at", Moment),
        Column("began_at", Moment),
        Column("exited_at", Moment),
        UniqueConstraint("workload_id", "attempt"),
        sqlite_autoincrement=True,
    )
    Index("ix_pulls_order", pulls.c.backend, pulls.c.state, pulls.c.priority, pulls.c.accepted_at)
    return pulls


def _add_workers(metadata: MetaData) -> Table:
    """Add those who asked for work, with what they offered last."""
    return Table(
        "pull_workers",
        metadata,
        Column("backend", String(64), primary_key=True),
        Column("worker", String(400), primary_key=True),
        *_room(),
        Column("images", Boolean, nullable=False),
        Column("arrays", Boolean, nullable=False, server_default=false()),
        Column("environment", String(64), nullable=False),
        Column("seen_at", Moment, nullable=False),
    )


def _room() -> list[Column[object]]:
    return [
        Column("cpus", Float, nullable=False),
        Column("memory", BigInteger, nullable=False),
        Column("gpus", Integer, nullable=False),
        Column("gpu_memory", BigInteger, nullable=False),
        Column("gpu_model", String(64)),
        Column("gpu_architecture", String(64)),
    ]

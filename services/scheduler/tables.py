"""The scheduler's tables: workloads as they stand, and every move they made."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from services.chassis.database import Moment, add_chassis_tables, new_metadata

__all__ = ["METADATA", "transitions", "workloads"]

METADATA = new_metadata()
"""All tables of this service."""

add_chassis_tables(METADATA)

_Sequence = BigInteger().with_variant(Integer, "sqlite")

workloads = Table(
    "workloads",
    METADATA,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("name", String(128)),
    Column("labels", JSON, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("backend", String(64)),
    Column("native_id", String(256)),
    Column("exit_code", Integer),
    Column("revision", Integer, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("retry_of", String(64)),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("allocation", JSON(none_as_null=True)),
    Column("usage", JSON(none_as_null=True)),
    Column("outputs", JSON, nullable=False),
    Column("logs", JSON, nullable=False),
    Column("seen_at", Moment),
)
"""`seen_at` is the last sign of life of the present attempt."""

Index("ix_workloads_owner_seq", workloads.c.owner, workloads.c.seq)
Index("ix_workloads_project_seq", workloads.c.project, workloads.c.seq)
Index("ix_workloads_state_seq", workloads.c.state, workloads.c.seq)

transitions = Table(
    "transitions",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("at", Moment, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("backend", String(64)),
    Column("native_id", String(256)),
    Column("exit_code", Integer),
    Column("allocation", JSON(none_as_null=True)),
    Column("usage", JSON(none_as_null=True)),
)

"""The scheduler's tables: workloads as they stand, and every move they made."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from services.chassis.database import Moment, add_chassis_tables, new_metadata

__all__ = ["METADATA", "schedule_runs", "schedules", "transitions", "workloads"]

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
    Column("schedule_id", String(64)),
)
"""`seen_at` is the last sign of life of the present attempt."""

Index("ix_workloads_owner_seq", workloads.c.owner, workloads.c.seq)
Index("ix_workloads_project_seq", workloads.c.project, workloads.c.seq)
Index("ix_workloads_state_seq", workloads.c.state, workloads.c.seq)
Index("ix_workloads_schedule_seq", workloads.c.schedule_id, workloads.c.seq)

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

schedules = Table(
    "schedules",
    METADATA,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("name", String(128), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("principal", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("runs", Integer, nullable=False),
    Column("last_error", Text, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
"""`principal` is in whose name jobs are submitted; a schedule that was deleted stays, so nothing brings it back."""

Index("ix_schedules_owner_seq", schedules.c.owner, schedules.c.seq)

schedule_runs = Table(
    "schedule_runs",
    METADATA,
    Column("schedule_id", String(64), primary_key=True),
    Column("scheduled_for", Moment, primary_key=True),
    Column("job_id", String(64), nullable=False, unique=True),
    Column("workflow_id", String(256)),
    Column("outcome", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("at", Moment, nullable=False),
)
"""`workflow_id` names the workflow that waits for the job's end, so that runs do not overlap."""

"""The scheduler's tables: workloads as they stand, and every move they made."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, Integer, LargeBinary, String, Table, Text, false

from services.chassis.database import Moment, add_chassis_tables, new_metadata

__all__ = ["METADATA", "arrays", "bundles", "tasks", "transitions", "workloads"]

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
    Column("tasks", JSON(none_as_null=True)),
)
"""`seen_at` is the last sign of life of the present attempt; `tasks` counts those of an array."""

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

arrays = Table(
    "arrays",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("items_of", String(64)),
    Column("items", LargeBinary),
    Column("inputs", LargeBinary),
    Column("position", Integer, nullable=False),
    Column("bundle", Integer, nullable=False),
    Column("withdrawn", Text, nullable=False),
)
"""What is kept once for an array. Tasks before `position` were handed out and have rows; `bundle` is the last one's
number; `withdrawn` are tasks that were canceled before their turn. `items_of` is the array whose items are ours too."""

bundles = Table(
    "bundles",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("bundle", Integer, primary_key=True, autoincrement=False),
    Column("backend", String(64), nullable=False),
    Column("indices", Text, nullable=False),
    Column("share", Integer),
    Column("sent", Boolean, nullable=False, server_default=false()),
    Column("ended", Boolean, nullable=False, server_default=false()),
    Column("seen_at", Moment, nullable=False),
    Column("allocation", JSON(none_as_null=True)),
)
"""Tasks that were handed to a backend together. `share` is how many of them may run at once."""

_open = bundles.c.ended.is_(False)
Index("ix_bundles_open", bundles.c.workload_id, sqlite_where=_open, postgresql_where=_open)

tasks = Table(
    "tasks",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("blameless", Integer, nullable=False),
    Column("bundle", Integer, nullable=False),
    Column("canceling", Boolean, nullable=False),
    Column("reason", String(32)),
    Column("message", Text, nullable=False),
    Column("exit_code", Integer),
    Column("not_before", Moment),
    Column("started_at", Moment),
    Column("finished_at", Moment),
    Column("usage", JSON(none_as_null=True)),
    Column("outputs", JSON(none_as_null=True)),
    Column("logs", JSON(none_as_null=True)),
)
"""Tasks of arrays that were handed out at least once. `blameless` counts attempts that ended through no fault of
theirs; `not_before` is when the next attempt of a pending one may begin."""

Index("ix_tasks_state", tasks.c.workload_id, tasks.c.state, tasks.c.index)
Index("ix_tasks_bundle", tasks.c.workload_id, tasks.c.bundle)

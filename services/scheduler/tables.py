"""The scheduler's tables: workloads as they stand, and every move they made."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from services.chassis.database import SEQUENCE, Moment, add_chassis_tables, new_metadata
from services.chassis.grants import add_grants_table

from .catalog.tables import add_catalog_table
from .counters import add_counters_table
from .mail.tables import add_mail_tables
from .natives.tables import add_native_tables
from .placing.tables import add_drains_table
from .pulls.tables import add_pull_tables

__all__ = [
    "METADATA",
    "arrays",
    "backend_drains",
    "batches",
    "bundles",
    "callbacks",
    "catalog",
    "counters",
    "deliveries",
    "dependencies",
    "grants",
    "hook_position",
    "keepers",
    "mail_refusals",
    "native_attempts",
    "natives",
    "notices",
    "pull_workers",
    "pulls",
    "schedule_runs",
    "schedules",
    "subscriptions",
    "tasks",
    "transitions",
    "waiting",
    "workloads",
]

METADATA = new_metadata()
"""All tables of this service."""

add_chassis_tables(METADATA)


workloads = Table(
    "workloads",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
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
    Column("batch_id", String(64)),
    Column("awaited", Boolean, nullable=False, server_default=false()),
    Column("cause", String(64)),
    Column("tasks", JSON(none_as_null=True)),
    Column("phase", String(64), nullable=False, server_default=""),
    Column("tail", Text, nullable=False, server_default=""),
    Column("number", BigInteger),
    Column("claimed_name", String(128)),
    Column("removed_at", Moment),
)
"""`seen_at` is the last sign of life of the present attempt; `awaited` says that others wait for its end; `tasks`
counts those of an array; `claimed_name` is its name while no other one of its owner may claim that. What was removed
stays for those who sum up and replay."""

Index("ix_workloads_owner_seq", workloads.c.owner, workloads.c.seq)
Index("ix_workloads_project_seq", workloads.c.project, workloads.c.seq)
Index("ix_workloads_state_seq", workloads.c.state, workloads.c.seq)
Index("ix_workloads_schedule_seq", workloads.c.schedule_id, workloads.c.seq)
Index("ix_workloads_batch_seq", workloads.c.batch_id, workloads.c.seq)
Index("ix_workloads_number", workloads.c.number, unique=True)
_claimed = workloads.c.claimed_name.is_not(None)
Index(
    "ix_workloads_claimed",
    workloads.c.owner,
    workloads.c.claimed_name,
    unique=True,
    sqlite_where=_claimed,
    postgresql_where=_claimed,
)

counters = add_counters_table(METADATA)

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

waiting = Table(
    "waiting",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("project", String(64), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("backends", String(1024), nullable=False),
    Column("tasks", Integer, nullable=False),
    Column("cpus", Float, nullable=False),
    Column("memory", BigInteger, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("start", JSON, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("unmet", Integer, nullable=False),
    Column("not_before", Moment),
    Column("since", Moment, nullable=False),
)
"""What was let in and not let go yet. `start` is what is said to Temporal when it goes; `project` is empty for none;
`unmet` counts what it waits for; only those of stage `ready` compete for room, `since` when they do."""

Index("ix_waiting_lane", *(waiting.c[name] for name in ("stage", "owner", "project", "priority", "backends", "seq")))
Index("ix_waiting_due", waiting.c.stage, waiting.c.not_before)

dependencies = Table(
    "dependencies",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("awaits", String(64), primary_key=True, index=True),
    Column("outcome", String(16), nullable=False),
    Column("delay", Float, nullable=False),
)
"""Who waits for whose end; gone once it came. `delay` in seconds."""

schedules = Table(
    "schedules",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
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

batches = Table(
    "batches",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("name", String(128)),
    Column("members", JSON, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
)
"""`members` are the keys of the jobs and what each waits for, in the order of the request."""

Index("ix_batches_owner_seq", batches.c.owner, batches.c.seq)
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
    Column("tried", Text, nullable=False, server_default=""),
    Column("refused", Text, nullable=False, server_default=""),
)
"""What is kept once for an array. Tasks before `position` were handed out and have rows; `bundle` is the last one's
number; `withdrawn` are tasks that were canceled before their turn. `items_of` is the array whose items are ours too.
`tried` and `refused` are backends, joined by commas: those that did not begin with its tasks in time, and those that
will never run them."""

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
    Column("leaving", Boolean, nullable=False, server_default=false()),
    Column("handed_at", Moment),
)
"""Tasks that were handed to a backend together. `share` is how many of them may run at once; one that is `leaving` is
taken back, so that its tasks go elsewhere; `handed_at` is when it was handed over, or asked to leave."""

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

callbacks = Table(
    "callbacks",
    METADATA,
    Column("workload_id", String(64), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("callback", JSON, nullable=False),
    Column("closed", Boolean, nullable=False, server_default=false()),
    Column("created_at", Moment, nullable=False),
)
"""Whom a workload's moves are told, with the sealed secret that its record does not hold; closed at its end."""

_heard = callbacks.c.closed.is_(False)
Index("ix_callbacks_open", callbacks.c.created_at, sqlite_where=_heard, postgresql_where=_heard)

subscriptions = Table(
    "subscriptions",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("name", String(128)),
    Column("spec", JSON, nullable=False),
    Column("principal", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
"""`principal` says what may be seen; a subscription that was deleted stays, so nothing brings it back."""

Index("ix_subscriptions_owner_seq", subscriptions.c.owner, subscriptions.c.seq)
Index("ix_subscriptions_state", subscriptions.c.state)

deliveries = Table(
    "deliveries",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("line", String(256), nullable=False),
    Column("target", String(64), nullable=False),
    Column("key", String(128), nullable=False),
    Column("owner", String(256), nullable=False),
    Column("project", String(64)),
    Column("subscription_id", String(64)),
    Column("workload_id", String(64)),
    Column("event_id", String(128), nullable=False),
    Column("event_type", String(128), nullable=False),
    Column("channel", String(16), nullable=False, server_default="webhook"),
    Column("url", String(2048), nullable=False),
    Column("content_type", String(128), nullable=False),
    Column("body", LargeBinary),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("next_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("target", "key"),
)
"""Events on their way. Those of one `line` go one after the other; `key` is the same for what is to be sent once."""

Index("ix_deliveries_owner_seq", deliveries.c.owner, deliveries.c.seq)
Index("ix_deliveries_state_updated", deliveries.c.state, deliveries.c.updated_at)
_on_its_way = deliveries.c.state == "waiting"
Index(
    "ix_deliveries_waiting",
    deliveries.c.line,
    deliveries.c.seq,
    sqlite_where=_on_its_way,
    postgresql_where=_on_its_way,
)

hook_position = Table(
    "hook_position",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
)
"""One row: up to where the event log was looked through for what is to be delivered."""

catalog = add_catalog_table(METADATA)
notices, mail_refusals = add_mail_tables(METADATA)
grants = add_grants_table(METADATA, String(64))
"""What is shared with whom: `resource` is the workload, `place` its `seq`, by which lists go."""

pulls, pull_workers = add_pull_tables(METADATA)
"""What outside workers may lease, and who they are."""

natives, native_attempts, keepers = add_native_tables(METADATA)
"""The native jobs of clusters, the attempts that they run, and who keeps which backend."""

backend_drains = add_drains_table(METADATA)

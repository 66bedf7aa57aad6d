"""Folds what was told of batches, schedules and grants into their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from contracts.events import (
    BatchCreated,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFired,
    WorkloadShared,
    WorkloadUnshared,
)
from contracts.schedules import ScheduleState
from services.chassis.unit import Work, upsert_for
from services.scheduler.records import Record
from services.scheduler.rights import GRANTS, write_grant
from services.scheduler.schedules import store
from services.scheduler.schedules.records import new_row, new_run, principal_of
from services.scheduler.tables import batches, schedule_runs, schedules

__all__ = [
    "change_schedule",
    "create_batch",
    "create_schedule",
    "delete_schedule",
    "note_run",
    "share",
    "unshare",
]


async def create_batch(work: Work, event: BatchCreated) -> None:
    """Write a batch down; its jobs tell of themselves."""
    row = {
        "id": event.batch_id,
        "owner": event.owner,
        "project": event.project,
        "name": event.batch_name,
        "members": [member.model_dump(mode="json") for member in event.members],
        "request_hash": event.request_hash,
        "created_at": event.at,
    }
    await _add(work, batches, row)


async def create_schedule(work: Work, event: ScheduleCreated) -> None:
    """Write a schedule down. Temporal is told when all are compared, at the start."""
    row = new_row(event.schedule_id, event.principal, event.spec, event.request_hash)
    await _add(work, schedules, {**row, "created_at": event.at, "updated_at": event.at})


async def change_schedule(work: Work, event: ScheduleChanged) -> None:
    """Let a schedule be another one."""
    row = await store.lock(work.connection, event.schedule_id)
    if row is None or row["revision"] >= event.revision:
        return
    fresh = new_row(row["id"], principal_of(row), event.spec, "")
    values = {name: fresh[name] for name in ("project", "name", "spec", "principal")}
    await _change(work, row, **values, state=event.state.value, revision=event.revision, updated_at=event.at)


async def delete_schedule(work: Work, event: ScheduleDeleted) -> None:
    """Have a schedule gone."""
    row = await store.lock(work.connection, event.schedule_id)
    if row is not None and row["state"] != ScheduleState.DELETED:
        state = ScheduleState.DELETED.value
        await _change(work, row, state=state, revision=row["revision"] + 1, updated_at=event.at)


async def note_run(work: Work, event: ScheduleFired) -> None:
    """Write a run down. Which workflow waits for its job is not told; that one looks for itself after a while."""
    row = await store.lock(work.connection, event.schedule_id)
    if row is None:
        return
    known = await store.find_run(work.connection, event.schedule_id, event.scheduled_for)
    outcome = {"outcome": event.outcome.value, "message": event.message}
    if known is None:
        run = new_run(event.schedule_id, event.scheduled_for, workflow_id=None)
        await _add(work, schedule_runs, {**run, **outcome, "by_hand": event.by_hand, "at": event.at})
    else:
        this = schedule_runs.c.job_id == event.job_id
        await work.connection.execute(update(schedule_runs).where(this).values(**outcome))
    await _change(work, row, runs=row["runs"] + (known is None), last_error=event.message)


async def share(work: Work, event: WorkloadShared) -> None:
    """Write a grant down, or what it is now."""
    await write_grant(work.connection, event.workload_id, event.grant)


async def unshare(work: Work, event: WorkloadUnshared) -> None:
    """Have a grant gone."""
    await GRANTS.drop(work.connection, event.owner, event.workload_id, event.grant.grantee)


async def _add(work: Work, table: Any, row: Record) -> None:
    await work.connection.execute(upsert_for(work.connection)(table).values(row).on_conflict_do_nothing())


async def _change(work: Work, row: Record, **values: Any) -> None:
    await work.connection.execute(update(schedules).where(schedules.c.id == row["id"]).values(**values))

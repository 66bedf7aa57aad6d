"""Questions to the tables of schedules."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.queries import ListSchedules
from contracts.schedules import ScheduleState
from services.chassis.policy import Scope
from services.scheduler.records import Record
from services.scheduler.tables import schedule_runs, schedules

__all__ = ["count_of", "find", "find_run", "last_runs", "lock", "page", "run_of_job", "standing"]

_COUNTED = (ScheduleState.ACTIVE.value, ScheduleState.PAUSED.value)


async def find(connection: AsyncConnection, schedule_id: str) -> Record | None:
    """Return the row of a schedule, deleted ones too."""
    return await _first(connection, select(schedules).where(schedules.c.id == schedule_id))


async def lock(connection: AsyncConnection, schedule_id: str) -> Record | None:
    """Return the row of a schedule, to be changed in this transaction."""
    return await _first(connection, select(schedules).where(schedules.c.id == schedule_id).with_for_update())


async def find_run(connection: AsyncConnection, schedule_id: str, scheduled_for: datetime) -> Record | None:
    """Return one run."""
    fits = schedule_runs.c.schedule_id == schedule_id, schedule_runs.c.scheduled_for == scheduled_for
    return await _first(connection, select(schedule_runs).where(*fits))


async def run_of_job(connection: AsyncConnection, job_id: str) -> Record | None:
    """Return the run that made a job."""
    return await _first(connection, select(schedule_runs).where(schedule_runs.c.job_id == job_id))


async def last_runs(connection: AsyncConnection, schedule_id: str, count: int) -> Sequence[RowMapping]:
    """Return the newest runs of a schedule."""
    table = schedule_runs.c
    statement = select(schedule_runs).where(table.schedule_id == schedule_id).order_by(table.scheduled_for.desc())
    return (await connection.execute(statement.limit(count))).mappings().all()


async def count_of(connection: AsyncConnection, owner: str) -> int:
    """Return how many schedules somebody has that may still make jobs."""
    statement = select(func.count()).where(schedules.c.owner == owner, schedules.c.state.in_(_COUNTED))
    return int((await connection.execute(statement)).scalar_one())


async def standing(connection: AsyncConnection) -> list[str]:
    """Return all schedules that Temporal must know."""
    statement = select(schedules.c.id).where(schedules.c.state.in_(_COUNTED)).order_by(schedules.c.seq)
    return list((await connection.execute(statement)).scalars())


async def page(
    connection: AsyncConnection, query: ListSchedules, scope: Scope, before: int | None
) -> Sequence[RowMapping]:
    """Return up to `limit + 1` rows, newest first, older than the row numbered *before*."""
    table = schedules.c
    statement = select(schedules).where(table.state != ScheduleState.DELETED.value)
    if not scope.everything:
        statement = statement.where(or_(table.owner == scope.owner, table.project.in_(scope.projects)))
    if before is not None:
        statement = statement.where(table.seq < before)
    if query.owner is not None:
        statement = statement.where(table.owner == query.owner)
    if query.schedule_name is not None:
        statement = statement.where(table.name == query.schedule_name)
    return (await connection.execute(statement.order_by(table.seq.desc()).limit(query.limit + 1))).mappings().all()


async def _first(connection: AsyncConnection, statement: Select[Any]) -> Record | None:
    found = (await connection.execute(statement)).mappings().first()
    return dict(found) if found else None

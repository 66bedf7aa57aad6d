"""Questions to the tables of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.tasks import TaskState
from services.scheduler.natives.keeping import is_kept
from services.scheduler.records import Record
from services.scheduler.tables import arrays, bundles, tasks

__all__ = [
    "add_bundle",
    "add_tasks",
    "backend_of",
    "change_array",
    "change_bundle",
    "change_tasks",
    "due_tasks",
    "end_bundles",
    "find_array",
    "find_bundle",
    "find_task",
    "next_due",
    "open_bundles",
    "page_of_tasks",
    "silent_bundles",
    "tasks_in_hand",
]

_IN_HAND = (TaskState.QUEUED.value, TaskState.RUNNING.value)
_CHANGING = tuple(column.name for column in tasks.c if column.name not in {"workload_id", "index"})


async def find_array(connection: AsyncConnection, workload_id: str) -> Record:
    """Return what is kept of an array, without its items."""
    columns = [column for column in arrays.c if column.name != "items"]
    found = await connection.execute(select(*columns).where(arrays.c.workload_id == workload_id))
    return dict(found.mappings().one())


async def change_array(connection: AsyncConnection, workload_id: str, **values: Any) -> None:
    """Write some columns."""
    await connection.execute(update(arrays).where(arrays.c.workload_id == workload_id).values(**values))


async def open_bundles(connection: AsyncConnection, workload_id: str) -> Sequence[RowMapping]:
    """Return the bundles that have not ended, oldest first."""
    statement = select(bundles).where(bundles.c.workload_id == workload_id, bundles.c.ended.is_(False))
    return (await connection.execute(statement.order_by(bundles.c.bundle))).mappings().all()


async def find_bundle(connection: AsyncConnection, workload_id: str, bundle: int) -> RowMapping | None:
    """Return a bundle that has not ended."""
    statement = select(bundles).where(
        bundles.c.workload_id == workload_id, bundles.c.bundle == bundle, bundles.c.ended.is_(False)
    )
    return (await connection.execute(statement)).mappings().first()


async def backend_of(connection: AsyncConnection, workload_id: str, bundle: int) -> str | None:
    """Return where a bundle was handed to, whether it has ended or not."""
    statement = select(bundles.c.backend).where(bundles.c.workload_id == workload_id, bundles.c.bundle == bundle)
    found: str | None = (await connection.execute(statement)).scalar_one_or_none()
    return found


async def add_bundle(connection: AsyncConnection, row: Record) -> None:
    """Note a bundle that is about to be handed out."""
    await connection.execute(insert(bundles).values(**row))


async def change_bundle(connection: AsyncConnection, workload_id: str, bundle: int, **values: Any) -> None:
    """Write some columns."""
    which = (bundles.c.workload_id == workload_id, bundles.c.bundle == bundle)
    await connection.execute(update(bundles).where(*which).values(**values))


async def end_bundles(connection: AsyncConnection, workload_id: str) -> None:
    """Have all bundles of an array ended: it has nothing under way any more."""
    which = (bundles.c.workload_id == workload_id, bundles.c.ended.is_(False))
    await connection.execute(update(bundles).where(*which).values(ended=True))


async def silent_bundles(connection: AsyncConnection, since: datetime, limit: int = 1000) -> Sequence[RowMapping]:
    """Return bundles that are with a backend and gave no sign of life since *since*."""
    statement = (
        select(bundles.c.workload_id, bundles.c.bundle, bundles.c.backend)
        .where(bundles.c.ended.is_(False), bundles.c.sent.is_(True), bundles.c.seen_at < since)
        .where(~is_kept(bundles.c.workload_id, bundles.c.bundle))
        .order_by(bundles.c.seen_at)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def tasks_in_hand(connection: AsyncConnection, workload_id: str, bundle: int | None = None) -> list[Record]:
    """Return the tasks that a backend has, of one bundle or of all."""
    statement = select(tasks).where(tasks.c.workload_id == workload_id, tasks.c.state.in_(_IN_HAND))
    if bundle is not None:
        statement = statement.where(tasks.c.bundle == bundle)
    found = await connection.execute(statement.order_by(tasks.c.index))
    return [dict(row) for row in found.mappings()]


async def due_tasks(connection: AsyncConnection, workload_id: str, at: datetime | None, limit: int) -> list[Record]:
    """Return pending tasks that were handed out before and may be again at *at* (or whenever), the lowest first."""
    statement = select(tasks).where(tasks.c.workload_id == workload_id, tasks.c.state == TaskState.PENDING.value)
    if at is not None:
        statement = statement.where(func.coalesce(tasks.c.not_before, at) <= at)
    return [dict(row) for row in (await connection.execute(statement.order_by(tasks.c.index).limit(limit))).mappings()]


async def next_due(connection: AsyncConnection, workload_id: str) -> datetime | None:
    """Return when the first of the tasks that wait for another attempt may begin."""
    statement = select(tasks.c.not_before).where(
        tasks.c.workload_id == workload_id,
        tasks.c.state == TaskState.PENDING.value,
        tasks.c.not_before.is_not(None),  # the others go as soon as there is room
    )
    found: datetime | None = (
        await connection.execute(statement.order_by(tasks.c.not_before).limit(1))
    ).scalar_one_or_none()
    return found


async def add_tasks(connection: AsyncConnection, rows: list[Record]) -> None:
    """Write tasks that are handed out for the first time."""
    if rows:
        await connection.execute(insert(tasks), rows)


async def change_tasks(connection: AsyncConnection, rows: list[Record]) -> None:
    """Write tasks as they stand now."""
    if not rows:
        return
    statement = (
        update(tasks)
        .where(tasks.c.workload_id == bindparam("of"), tasks.c.index == bindparam("at"))
        .values({name: bindparam(f"new_{name}") for name in _CHANGING})
    )
    values = [
        {"of": row["workload_id"], "at": row["index"], **{f"new_{name}": row[name] for name in _CHANGING}}
        for row in rows
    ]
    await connection.execute(statement, values)


async def find_task(connection: AsyncConnection, workload_id: str, index: int) -> RowMapping | None:
    """Return one task that was handed out."""
    statement = select(tasks).where(tasks.c.workload_id == workload_id, tasks.c.index == index)
    return (await connection.execute(statement)).mappings().first()


async def page_of_tasks(
    connection: AsyncConnection, workload_id: str, states: Sequence[str], start: int, limit: int
) -> Sequence[RowMapping]:
    """Return some tasks that were handed out, from the number *start* on."""
    statement = select(tasks).where(tasks.c.workload_id == workload_id, tasks.c.index >= start)
    if states:
        statement = statement.where(tasks.c.state.in_(states))
    return (await connection.execute(statement.order_by(tasks.c.index).limit(limit))).mappings().all()

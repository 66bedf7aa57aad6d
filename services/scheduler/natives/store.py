"""Questions to the table of attempts.

For the desk of pilots, each in one transaction of its own: `hand_over` gives out the next attempt of a native job,
once, to the one incarnation that came first; `to_end` says what a pilot has to end early; `find_native` and `is_alive`
say whose native job it is and whether it lives, `attempts_of` of which attempts its credentials may speak.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.runs import RunTask
from contracts.states import Reason
from services.chassis.unit import upsert_for
from services.scheduler.records import Record
from services.scheduler.tables import native_attempts as attempts
from services.scheduler.tables import natives

from .words import OPEN, STANDING, AttemptState

__all__ = [
    "Handed",
    "add",
    "attempts_of",
    "change",
    "count",
    "end",
    "find",
    "find_native",
    "hand_over",
    "in_parts",
    "is_alive",
    "open_of",
    "place",
    "to_end",
    "waiting",
]

_AT_ONCE = 500
"""Names that one statement speaks of."""

Handed = RunTask | None


# --- for the backend ------------------------------------------------------------------------------------------------


async def add(connection: AsyncConnection, backend: str, task: RunTask, moment: datetime) -> bool:
    """Take an attempt; False if it was there already."""
    row = {
        "backend": backend,
        "workload_id": task.workload_id,
        "attempt": task.attempt,
        "priority": task.priority,
        "task": task.model_dump(mode="json"),
        "state": AttemptState.WAITING.value,
        "returns": 0,
        "message": "",
        "queued_at": moment,
    }
    added = await connection.execute(upsert_for(connection)(attempts).values(row).on_conflict_do_nothing())
    return bool(added.rowcount)


async def find(
    connection: AsyncConnection, workload_id: str, attempt: int, *, to_change: bool = False
) -> Record | None:
    """Return one attempt."""
    statement = select(attempts).where(attempts.c.workload_id == workload_id, attempts.c.attempt == attempt)
    found = (await connection.execute(statement.with_for_update() if to_change else statement)).mappings().first()
    return dict(found) if found else None


async def change(connection: AsyncConnection, number: int, *was: AttemptState, **values: Any) -> bool:
    """Change an attempt that stands in one of the states it is thought to; False if it does not."""
    statement = update(attempts).where(attempts.c.number == number, attempts.c.state.in_([one.value for one in was]))
    return (await connection.execute(statement.values(**values))).rowcount == 1


async def end(
    connection: AsyncConnection, workload_id: str, attempt: int, reason: Reason, moment: datetime, message: str = ""
) -> bool:
    """Note that an attempt has ended; False if that was known, or it is of no cluster."""
    statement = (
        update(attempts)
        .where(attempts.c.workload_id == workload_id, attempts.c.attempt == attempt, attempts.c.state.in_(OPEN))
        .values(state=AttemptState.ENDED.value, ending=reason.value, message=message, ended_at=moment)
    )
    return (await connection.execute(statement)).rowcount == 1


async def count(connection: AsyncConnection, backend: str) -> dict[str, int]:
    """Return how many attempts stand where."""
    statement = (
        select(attempts.c.state, func.count().label("number"))
        .where(attempts.c.backend == backend, attempts.c.state.in_(OPEN))
        .group_by(attempts.c.state)
    )
    return {row.state: row.number for row in await connection.execute(statement)}


# --- for the keeper -------------------------------------------------------------------------------------------------


async def waiting(connection: AsyncConnection, backend: str, limit: int) -> Sequence[RowMapping]:
    """Return the first attempts that have no native job yet."""
    statement = (
        select(attempts)
        .where(attempts.c.backend == backend, attempts.c.state == AttemptState.WAITING.value)
        .order_by(attempts.c.priority.desc(), attempts.c.number)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def place(connection: AsyncConnection, numbers: Collection[int], native: str) -> int:
    """Give waiting attempts to a native job that has its name just now; returns how many still waited."""
    statement = (
        update(attempts)
        .where(attempts.c.number.in_(numbers), attempts.c.state == AttemptState.WAITING.value)
        .values(state=AttemptState.PLACED.value, native=native)
    )
    return (await connection.execute(statement)).rowcount


async def open_of(connection: AsyncConnection, names: Sequence[str]) -> dict[str, list[RowMapping]]:
    """Return the attempts of native jobs that have not ended, by the name of the job."""
    found: dict[str, list[RowMapping]] = {}
    for part in in_parts(names):
        statement = select(attempts).where(attempts.c.native.in_(part), attempts.c.state.in_(OPEN))
        for row in (await connection.execute(statement.order_by(attempts.c.number))).mappings():
            found.setdefault(row["native"], []).append(row)
    return found


def in_parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Return the names in parts that a statement can hold."""
    return (names[begin : begin + _AT_ONCE] for begin in range(0, len(names), _AT_ONCE))


# --- for the desk of pilots -----------------------------------------------------------------------------------------


async def find_native(connection: AsyncConnection, name: str, *, to_change: bool = False) -> Record | None:
    """Return a native job: `owner`, `project` (empty for none), `backend`, `slots`, `cpus`, `memory` and `gpus`."""
    statement = select(natives).where(natives.c.name == name)
    found = (await connection.execute(statement.with_for_update() if to_change else statement)).mappings().first()
    return dict(found) if found else None


def is_alive(native: Record | None) -> bool:
    """Say whether a native job may be there, so that its pilot has a right to speak."""
    return native is not None and native["state"] in STANDING


async def attempts_of(connection: AsyncConnection, name: str) -> list[tuple[str, int]]:
    """Return the workload and number of all attempts of a native job, ended ones too."""
    statement = select(attempts.c.workload_id, attempts.c.attempt).where(attempts.c.native == name)
    return [(row.workload_id, row.attempt) for row in await connection.execute(statement.order_by(attempts.c.number))]


async def hand_over(connection: AsyncConnection, name: str, incarnation: str, asked: int, moment: datetime) -> Handed:
    """Give the next attempt of a native job to its pilot; None if there is none for it.

    The first incarnation that asks has the job: a native job that its cluster runs again gets nothing. *asked* counts
    the questions of an incarnation from 1: the same question again, as its answer got lost, has the same answer.
    """
    native = await find_native(connection, name, to_change=True)
    if native is None or not is_alive(native) or native["stop_at"] or native["incarnation"] not in {None, incarnation}:
        return None
    if native["incarnation"] is None:
        native["claimed_at"] = moment
        values = {"incarnation": incarnation, "claimed_at": moment}
        await connection.execute(update(natives).where(natives.c.name == name).values(**values))
    again = select(attempts.c.task).where(attempts.c.native == name, attempts.c.asked == asked)
    if (task := (await connection.execute(again)).scalar_one_or_none()) is not None:
        return RunTask.model_validate(task, extra="ignore")
    return await _next(connection, native, asked, moment)


async def _next(connection: AsyncConnection, native: Record, asked: int, moment: datetime) -> Handed:
    statement = (
        select(attempts.c.number, attempts.c.task)
        .where(
            attempts.c.native == native["name"],
            attempts.c.state == AttemptState.PLACED.value,
            attempts.c.ending.is_(None),
        )
        .order_by(attempts.c.number)
    )
    row = (await connection.execute(statement.limit(1))).first()
    if row is None:
        return None
    task = RunTask.model_validate(row.task, extra="ignore")
    if native["size"] > 1 and moment + timedelta(seconds=task.walltime) > _end_of(native):
        return None  # it is put back when the native job has ended
    values = {"state": AttemptState.GIVEN.value, "asked": asked, "given_at": moment}
    return task if await change(connection, row.number, AttemptState.PLACED, **values) else None


def _end_of(native: Record) -> datetime:
    """Return when the cluster ends a native job."""
    end: datetime = native["claimed_at"] + timedelta(seconds=native["walltime"])
    return end


async def to_end(connection: AsyncConnection, name: str) -> list[Record]:
    """Return what a pilot has to end early: `workload_id`, `attempt`, `ending` (why; all of it) or `part` (tasks)."""
    columns = (attempts.c[column] for column in ("workload_id", "attempt", "ending", "part"))
    wished = attempts.c.ending.is_not(None) | attempts.c.part.is_not(None)
    statement = select(*columns).where(attempts.c.native == name, attempts.c.state == AttemptState.GIVEN.value, wished)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]

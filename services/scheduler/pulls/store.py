"""The questions of the pull backend to its tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, false, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.leases import Offer
from contracts.runs import RunTask
from contracts.states import Reason
from services.chassis.unit import upsert_for
from services.scheduler.records import Record
from services.scheduler.tables import pull_workers, pulls

from .workers import Worker

__all__ = [
    "LOST",
    "PullState",
    "add",
    "change",
    "count",
    "find",
    "find_attempt",
    "first_fitting",
    "forget",
    "hear",
    "overdue",
    "see",
    "suits",
    "tried",
    "workers_since",
]

LOST = Reason.LOST.value
"""How an attempt ended whose worker fell silent: it is not given to that one again while another one lives."""

_WINDOW = 100
"""Rows that are looked through at once."""

_SORT = ("needs_image", "of_array")
_ROOM = ("cpus", "memory", "gpus", "gpu_memory", "gpu_model", "gpu_architecture")


class PullState(StrEnum):
    """Where an attempt stands."""

    WAITING = "waiting"
    LEASED = "leased"
    ENDED = "ended"


# Built once: while jobs come, they are asked several times a second.
_COUNTS = (
    select(pulls.c.state, func.count().label("number"))
    .where(pulls.c.backend == bindparam("at"), pulls.c.state != PullState.ENDED.value)
    .group_by(pulls.c.state)
)
_THERE = select(pull_workers).where(
    pull_workers.c.backend == bindparam("at"), pull_workers.c.seen_at >= bindparam("since")
)


async def add(
    connection: AsyncConnection, backend: str, task: RunTask, accepted_at: datetime, moment: datetime
) -> bool:
    """Put an attempt into the queue; False if it was there already."""
    row = {
        **{name: getattr(task, name) for name in ("workload_id", "attempt", "environment", "priority", "cpus", "gpus")},
        **{name: getattr(task, name) for name in ("gpu_model", "gpu_architecture")},
        "backend": backend,
        "memory": task.memory or 0,
        "gpu_memory": task.gpu_memory or 0,
        "task": task.model_dump(mode="json"),
        "tried": await tried(connection, task.workload_id, task.bundle.indices if task.bundle else None),
        "of_array": task.bundle is not None,
        # The program of an application runs as it is where there are no containers.
        "needs_image": bool(task.image) and task.files is None,
        "outputs": [],
        "state": PullState.WAITING.value,
        "accepted_at": accepted_at,
        "queued_at": moment,
    }
    added = await connection.execute(upsert_for(connection)(pulls).values(row).on_conflict_do_nothing())
    return bool(added.rowcount)


async def tried(connection: AsyncConnection, workload_id: str, indices: str | None = None) -> list[str]:
    """Return the workers that fell silent with earlier attempts of a job, or of these tasks of an array."""
    statement = (
        select(pulls.c.worker, pulls.c.task)
        .where(pulls.c.workload_id == workload_id, pulls.c.ending == LOST, pulls.c.worker.is_not(None))
        .order_by(pulls.c.number)
    )
    rows = (await connection.execute(statement)).all()
    return [worker for worker, task in rows if (task.get("bundle") or {}).get("indices") == indices]


async def find(connection: AsyncConnection, number: int, *, to_change: bool = False) -> Record | None:
    """Return one row by its number."""
    statement = select(pulls).where(pulls.c.number == number)
    found = (await connection.execute(statement.with_for_update() if to_change else statement)).mappings().first()
    return dict(found) if found else None


async def find_attempt(
    connection: AsyncConnection, workload_id: str, attempt: int, *, to_change: bool = False
) -> Record | None:
    """Return the row of an attempt."""
    statement = select(pulls).where(pulls.c.workload_id == workload_id, pulls.c.attempt == attempt)
    found = (await connection.execute(statement.with_for_update() if to_change else statement)).mappings().first()
    return dict(found) if found else None


async def change(connection: AsyncConnection, number: int, was: PullState, **values: Any) -> bool:
    """Change a row that stands where it is thought to; False if it does not."""
    statement = update(pulls).where(pulls.c.number == number, pulls.c.state == was.value).values(**values)
    return (await connection.execute(statement)).rowcount == 1


async def first_fitting(
    connection: AsyncConnection,
    backend: str,
    worker: Worker,
    offer: Offer,
    limit: int,
    before: datetime,
    alive: datetime,
) -> list[int]:
    """Return the numbers of the first rows that a worker may have: by priority, then by age.

    What any sort of machine may take must have been there *before*; what was lost by this worker goes to another one
    that was *alive* lately, if it fits there.
    """
    others = [row for row in await workers_since(connection, backend, alive) if row["worker"] != worker.name]
    place: tuple[int, datetime, int] | None = None
    found: list[int] = []
    while rows := await _window(connection, backend, worker, offer, before, place):
        for row in rows:
            if _fits_gpu(row, offer.gpu_model, offer.gpu_architecture) and not _is_for_others(row, worker, others):
                found.append(row["number"])
                if len(found) == limit:
                    return found
        if len(rows) < _WINDOW:
            break
        place = (rows[-1]["priority"], rows[-1]["accepted_at"], rows[-1]["number"])
    return found


async def _window(
    connection: AsyncConnection,
    backend: str,
    worker: Worker,
    offer: Offer,
    before: datetime,
    place: tuple[int, datetime, int] | None,
) -> Sequence[RowMapping]:
    table = pulls.c
    anybody = table.environment.is_(None) & (table.queued_at <= before)
    statement = (
        select(*(table[name] for name in ("number", "priority", "accepted_at", "environment", *_SORT, "tried", *_ROOM)))
        .where(
            table.backend == backend,
            table.state == PullState.WAITING.value,
            or_(table.environment == worker.environment, anybody),
            or_(table.needs_image.is_(False), true() if offer.images else false()),
            or_(table.of_array.is_(False), true() if offer.arrays else false()),
            *(table[name] <= getattr(offer, name) for name in ("cpus", "memory", "gpus", "gpu_memory")),
        )
        .order_by(table.priority.desc(), table.accepted_at, table.number)
        .limit(_WINDOW)
        .with_for_update(skip_locked=True)
    )
    if place is not None:
        priority, accepted_at, number = place
        later = (table.accepted_at > accepted_at) | ((table.accepted_at == accepted_at) & (table.number > number))
        statement = statement.where((table.priority < priority) | ((table.priority == priority) & later))
    return (await connection.execute(statement)).mappings().all()


def suits(row: RowMapping | Record, worker: RowMapping | Record) -> bool:
    """Say whether an attempt fits what a worker offered last."""
    alike = row["environment"] is None or row["environment"] == worker["environment"]
    alike = alike and (worker["images"] or not row["needs_image"]) and (worker["arrays"] or not row["of_array"])
    fits = all(row[name] <= worker[name] for name in ("cpus", "memory", "gpus", "gpu_memory"))
    return alike and fits and _fits_gpu(row, worker["gpu_model"], worker["gpu_architecture"])


def _is_for_others(row: RowMapping, worker: Worker, others: Sequence[RowMapping]) -> bool:
    """Say whether a row was lost by this worker, and there is another one that could have it."""
    if worker.name not in row["tried"]:
        return False
    return any(other["worker"] not in row["tried"] and suits(row, other) for other in others)


def _fits_gpu(row: RowMapping | Record, model: str | None, architecture: str | None) -> bool:
    return _is_in(row["gpu_model"], model) and _is_in(row["gpu_architecture"], architecture)


def _is_in(wanted: str | None, there: str | None) -> bool:
    return wanted is None or (there is not None and _plain(wanted) in _plain(there))


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]", "", words.lower())


async def overdue(
    connection: AsyncConnection, backend: str, *, seen: datetime, begun: datetime, finished: datetime
) -> list[Record]:
    """Return what was lent and said nothing since *seen*, has not begun since *begun*, or ended before *finished*."""
    table = pulls.c
    statement = (
        select(pulls)
        .where(
            table.backend == backend,
            table.state == PullState.LEASED.value,
            or_(
                table.seen_at < seen,
                table.began_at.is_(None) & (table.leased_at < begun),
                table.exited_at < finished,
            ),
        )
        .order_by(table.seen_at)
        .limit(_WINDOW)
    )
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def count(connection: AsyncConnection, backend: str) -> dict[str, int]:
    """Return how many attempts wait, and how many are lent."""
    return {row.state: row.number for row in await connection.execute(_COUNTS, {"at": backend})}


async def see(
    connection: AsyncConnection, backend: str, worker: Worker, offer: Offer, moment: datetime, *, asks: bool
) -> None:
    """Note that a worker is there, and what it offers; one that *asks* for nothing offers what it did before."""
    values = {
        "environment": worker.environment,
        "images": offer.images,
        "arrays": offer.arrays,
        "seen_at": moment,
        **{name: getattr(offer, name) for name in _ROOM},
    }
    row = {"backend": backend, "worker": worker.name, **values}
    statement = upsert_for(connection)(pull_workers).values(row)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["backend", "worker"], set_=values if asks else {"seen_at": moment}
        )
    )


async def hear(connection: AsyncConnection, backend: str, worker: str, moment: datetime) -> None:
    """Note that a worker is there."""
    who = pull_workers.c.backend == backend, pull_workers.c.worker == worker
    await connection.execute(update(pull_workers).where(*who).values(seen_at=moment))


async def workers_since(connection: AsyncConnection, backend: str, since: datetime) -> Sequence[RowMapping]:
    """Return the workers that were there lately."""
    return (await connection.execute(_THERE, {"at": backend, "since": since})).mappings().all()


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Forget workers that have not been there for long, and attempts that ended as long ago."""
    await connection.execute(delete(pull_workers).where(pull_workers.c.seen_at < before))
    ended = pulls.c.state == PullState.ENDED.value
    await connection.execute(delete(pulls).where(ended, func.coalesce(pulls.c.seen_at, pulls.c.queued_at) < before))

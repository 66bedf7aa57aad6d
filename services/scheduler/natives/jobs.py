"""Questions to the table of native jobs. Its keeper writes there, and the desks that claim or stop one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, RowMapping, Select, bindparam, delete, false, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.model import now
from services.scheduler.records import Record
from services.scheduler.tables import native_attempts as attempts
from services.scheduler.tables import natives

from .store import in_parts
from .words import OPEN, STANDING, AttemptState, JobState

__all__ = [
    "NOTED",
    "add",
    "change",
    "count",
    "due",
    "forget",
    "idle",
    "known",
    "live",
    "note",
    "overdue",
    "stop",
    "stop_if_unwanted",
    "stuck",
    "unbegun",
]

NOTED = ("native_id", "seen", "reason", "node", "exit_code", "ending")
"""What a look at the cluster says of a native job."""

_SETTLED = timedelta(seconds=2)
"""A job that was started so lately before a look may not be shown yet."""

_before = bindparam("before", type_=natives.c.started_at.type)

# Built once: it is asked every few seconds, and may have ten thousand rows.
_LIVE: Select[Any] = select(
    *(natives.c[name] for name in ("name", "state", "size", *NOTED)),
    natives.c.incarnation.is_not(None).label("claimed"),
    natives.c.stop_at.is_not(None).label("stopping"),
    func.coalesce(natives.c.started_at < _before, false()).label("settled"),
).where(
    natives.c.backend == bindparam("backend"),
    natives.c.state.in_((*STANDING, JobState.ENDED.value)),
)

_NOTE = (
    update(natives).where(natives.c.name == bindparam("of")).values({name: bindparam(f"new_{name}") for name in NOTED})
)


async def add(connection: AsyncConnection, rows: Sequence[Record]) -> None:
    """Write down native jobs that are about to be started."""
    await connection.execute(insert(natives), list(rows))


async def live(connection: AsyncConnection, backend: str) -> Sequence[Row[Any]]:
    """Return what is known of all native jobs of a backend that are not gone, in columns that cost little to read.

    Beside those of the table `claimed` says whether a pilot has it, `stopping` whether it is to be stopped, and
    `settled` whether it was started so long ago that each look must show it.
    """
    found: Sequence[Row[Any]] = (
        await connection.execute(_LIVE, {"backend": backend, "before": now() - _SETTLED})
    ).all()
    return found


async def due(connection: AsyncConnection, backend: str, moment: datetime, limit: int) -> Sequence[RowMapping]:
    """Return the native jobs of which nobody knows whether they were started, and that may be tried now."""
    statement = (
        select(natives)
        .where(natives.c.backend == backend, natives.c.state == JobState.NAMED.value)
        .where(or_(natives.c.retry_at.is_(None), natives.c.retry_at <= moment))
        .order_by(natives.c.created_at)
        .limit(limit)
    )
    return (await connection.execute(statement)).mappings().all()


async def change(connection: AsyncConnection, names: Collection[str], *was: JobState, **values: Any) -> int:
    """Change native jobs that stand in one of the states they are thought to; returns how many did."""
    changed = 0
    for part in in_parts(list(names)):
        statement = update(natives).where(natives.c.name.in_(part), natives.c.state.in_([one.value for one in was]))
        changed += (await connection.execute(statement.values(**values))).rowcount
    return changed


async def note(connection: AsyncConnection, rows: Sequence[Record]) -> None:
    """Write down what a look says; each row has `of`, the name, and `new_…` for all that is noted."""
    if rows:
        await connection.execute(_NOTE, list(rows))


async def known(connection: AsyncConnection, names: Sequence[str]) -> dict[str, str]:
    """Return the state of those native jobs of which there is a row."""
    found: dict[str, str] = {}
    for part in in_parts(names):
        statement = select(natives.c.name, natives.c.state).where(natives.c.name.in_(part))
        found |= {row.name: row.state for row in await connection.execute(statement)}
    return found


async def stop(connection: AsyncConnection, names: Sequence[str], moment: datetime) -> None:
    """Have native jobs stopped, with all that they run."""
    for part in in_parts(names):
        which = natives.c.name.in_(part), natives.c.stop_at.is_(None)
        await connection.execute(update(natives).where(*which).values(stop_at=moment))


async def stop_if_unwanted(connection: AsyncConnection, name: str, moment: datetime) -> bool:
    """Have a native job stopped if none of its attempts is wanted any more; returns whether that is so."""
    wanted = select(func.count()).where(
        attempts.c.native == name, attempts.c.state.in_(OPEN), attempts.c.ending.is_(None)
    )
    if (await connection.execute(wanted)).scalar_one():
        return False
    await stop(connection, [name], moment)
    return True


async def overdue(connection: AsyncConnection, backend: str, before: datetime) -> list[str]:
    """Return the native jobs whose pilot was told long ago to end an attempt, and has not."""
    statement = (
        select(attempts.c.native)
        .distinct()
        .join(natives, natives.c.name == attempts.c.native)
        .where(
            attempts.c.backend == backend,
            attempts.c.state == AttemptState.GIVEN.value,
            attempts.c.ending_at < before,
            natives.c.stop_at.is_(None),
        )
    )
    return list((await connection.execute(statement)).scalars())


async def idle(connection: AsyncConnection, backend: str, before: datetime) -> list[str]:
    """Return the native jobs that have not ended although all their attempts have, long ago."""
    late = select(attempts.c.native).where(
        attempts.c.native == natives.c.name,
        or_(attempts.c.state.in_(OPEN), attempts.c.ended_at >= before),
    )
    statement = select(natives.c.name).where(
        natives.c.backend == backend,
        natives.c.state == JobState.STARTED.value,
        natives.c.stop_at.is_(None),
        natives.c.created_at < before,
        ~late.exists(),
    )
    return list((await connection.execute(statement)).scalars())


async def stuck(connection: AsyncConnection, before: datetime, limit: int) -> Sequence[RowMapping]:
    """Return native jobs that could not be started since long ago, the oldest first."""
    columns = (natives.c[name] for name in ("name", "backend", "tries", "error", "created_at"))
    statement = select(*columns).where(
        natives.c.state == JobState.NAMED.value, natives.c.tries > 0, natives.c.created_at < before
    )
    return (await connection.execute(statement.order_by(natives.c.created_at).limit(limit))).mappings().all()


async def count(connection: AsyncConnection, backend: str) -> dict[tuple[str, str], int]:
    """Return how many native jobs stand where, by our state and by that of the cluster."""
    statement = (
        select(natives.c.state, natives.c.seen, func.count().label("number"))
        .where(natives.c.backend == backend, natives.c.state != JobState.GONE.value)
        .group_by(natives.c.state, natives.c.seen)
    )
    return {(row.state, row.seen): row.number for row in await connection.execute(statement)}


async def unbegun(connection: AsyncConnection, backend: str, walltime: float) -> int:
    """Return how many native jobs of no GPU and so short a time are there whose pilots have not asked for work yet."""
    statement = select(func.count()).where(
        natives.c.backend == backend,
        natives.c.state.in_(STANDING),
        natives.c.claimed_at.is_(None),
        natives.c.stop_at.is_(None),
        natives.c.gpus == 0,
        natives.c.walltime <= walltime,
    )
    return int((await connection.execute(statement)).scalar_one())


async def forget(connection: AsyncConnection, before: datetime) -> None:
    """Forget what ended long ago."""
    ended = attempts.c.state == AttemptState.ENDED.value
    await connection.execute(delete(attempts).where(ended, attempts.c.ended_at < before))
    kept = select(attempts.c.native).where(attempts.c.native == natives.c.name)
    gone = natives.c.state == JobState.GONE.value
    await connection.execute(delete(natives).where(gone, natives.c.ended_at < before, ~kept.exists()))

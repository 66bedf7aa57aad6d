"""Who waits for whose end, and what comes of it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import FieldError, InvalidError
from contracts.model import now
from contracts.principals import Principal
from contracts.spec import After, Outcome
from contracts.states import Reason, WorkloadState
from services.chassis.unit import OutboxRow, UnitOfWork, Work
from services.scheduler.context import workload_context
from services.scheduler.records import Record
from services.scheduler.rights import visible_among
from services.scheduler.store import find, open_journey
from services.scheduler.tables import dependencies, waiting, workloads

from .dispatcher import Dispatcher

__all__ = ["Dependencies", "Footing", "cause_of", "describe_end", "look_up", "write_down"]

_NAMED_AT_ONCE = 500
"""Workloads that are named in one statement."""

_AT_ONCE = 100
"""Dependents that are seen to in one transaction."""

_WISHED = {Outcome.SUCCESS: "had to succeed", Outcome.FAILURE: "had to fail", Outcome.ANY: "had to end"}


@dataclass(slots=True)
class Footing:
    """What a new workload stands on: whose end it still waits for, and what came of those that have ended."""

    unmet: list[After] = field(default_factory=list)
    not_before: datetime | None = None
    broken: tuple[Record, Outcome] | None = None
    """One that ended the wrong way, so that this can never start."""


async def look_up(
    connection: AsyncConnection, workload_id: str, after: Sequence[After], who: Principal | None
) -> Footing:
    """Return how those stand that a new workload waits for; refuses what *who* may not see as if it were not there.

    Without *who* it was let in long ago, and is not refused any more: one that is not there has not ended.
    Their rows are locked: none of them ends between this look and the commit without seeing who waits.
    """
    footing = Footing()
    if not after:
        return footing
    statement = select(workloads).where(workloads.c.id.in_([item.job for item in after])).with_for_update()
    found = {row["id"]: dict(row) for row in (await connection.execute(statement)).mappings()}
    if who is not None:
        visible = await visible_among(connection, found.values(), who)
        _require_there(workload_id, after, visible)
    for item in after:
        row = found.get(item.job)
        state = WorkloadState(row["state"]) if row else WorkloadState.ACCEPTED
        if row is None or not state.is_terminal:
            footing.unmet.append(item)
        elif item.on.is_met(state):
            footing.not_before = _later(footing.not_before, row["finished_at"], item.delay)
        else:
            footing.broken = (row, item.on)
    return footing


def _require_there(workload_id: str, after: Sequence[After], visible: Container[str]) -> None:
    errors = []
    for place, item in enumerate(after):
        if item.job == workload_id:
            errors.append(FieldError(field=f"after.{place}.job", message="a job cannot wait for itself"))
        elif item.job not in visible:
            errors.append(FieldError(field=f"after.{place}.job", message=f"{item.job} does not exist"))
    if errors:
        raise InvalidError("; ".join(f"{error.field}: {error.message}" for error in errors[:5]), errors=errors[:100])


def _later(known: datetime | None, end: datetime, delay: timedelta) -> datetime | None:
    if not delay:
        return known
    return max(known, end + delay) if known else end + delay


async def write_down(connection: AsyncConnection, unmet: Mapping[str, Sequence[After]]) -> None:
    """Keep whom workloads wait for, and have those know."""
    rows = [
        {"workload_id": waiter, "awaits": item.job, "outcome": item.on.value, "delay": item.delay.total_seconds()}
        for waiter, items in unmet.items()
        for item in items
    ]
    if not rows:
        return
    await connection.execute(insert(dependencies), rows)
    awaited = sorted({str(row["awaits"]) for row in rows})
    for start in range(0, len(awaited), _NAMED_AT_ONCE):
        some = awaited[start : start + _NAMED_AT_ONCE]
        await connection.execute(update(workloads).where(workloads.c.id.in_(some)).values(awaited=True))


def describe_end(row: Record, wished: Outcome) -> str:
    """Say how a workload ended and how it should have."""
    exit_code = f" with exit code {row['exit_code']}" if row["exit_code"] else ""
    verb = "was canceled" if row["state"] == WorkloadState.CANCELED else row["state"]
    return f"{row['id']} {verb}{exit_code}, but {_WISHED[wished]}"


async def cause_of(connection: AsyncConnection, owner: str, ended: Record, wished: Outcome) -> tuple[str, str]:
    """Return the workload at the root of a broken chain, as far as *owner* may know, and the message that tells it."""
    message = describe_end(ended, wished)
    root = await find(connection, ended["cause"]) if ended["cause"] else None
    if root is None or root["owner"] != owner:
        return ended["id"], message
    told = (
        f": exit code {root['exit_code']}" if root["exit_code"] else f": {root['message']}" if root["message"] else ""
    )
    return root["id"], f"{message}; at the root of it {root['id']} ended as {root['state']}{told}"


class Dependencies:
    """The sink of the outbox that hears of ends for which somebody waits. Repeats are harmless."""

    def __init__(self, *, unit: UnitOfWork, dispatcher: Dispatcher) -> None:
        self._unit = unit
        self._dispatcher = dispatcher

    async def __call__(self, row: OutboxRow) -> None:
        """See to all who wait for one end."""
        ended = row.subject.rpartition("/")[2]
        while await self._see_to_some(ended):
            pass

    async def _see_to_some(self, ended: str) -> bool:
        async with self._unit.begin(workload_context(ended)) as work:
            statement = select(dependencies).where(dependencies.c.awaits == ended).limit(_AT_ONCE)
            found = (await work.connection.execute(statement)).mappings().all()
            end = await find(work.connection, ended)
            if not found or end is None:
                return False
            await work.connection.execute(
                delete(dependencies).where(
                    dependencies.c.awaits == ended,
                    dependencies.c.workload_id.in_([item["workload_id"] for item in found]),
                )
            )
            state = WorkloadState(end["state"])
            met = [item for item in found if Outcome(item["outcome"]).is_met(state)]
            await self._go_on(work, met, end["finished_at"])
            for item in found:
                if item not in met:
                    await self._cancel(work, item["workload_id"], end, Outcome(item["outcome"]))
        return len(found) == _AT_ONCE

    async def _go_on(self, work: Work, met: Sequence[RowMapping], end: datetime) -> None:
        """Strike out one of the ends that each of them waited for."""
        delays = {item["workload_id"]: timedelta(seconds=item["delay"]) for item in met}
        if not delays:
            return
        statement = select(waiting).where(waiting.c.id.in_(delays)).with_for_update()
        rows = [
            {
                **row,
                "unmet": row["unmet"] - 1,
                "not_before": _later(row["not_before"], end, delays[row["id"]]),
            }
            for row in (await work.connection.execute(statement)).mappings()
        ]
        if not rows:
            return
        await work.connection.execute(
            update(waiting)
            .where(waiting.c.id == bindparam("its_id"))
            .values(unmet=bindparam("now_unmet"), not_before=bindparam("now_not_before")),
            [{"its_id": row["id"], "now_unmet": row["unmet"], "now_not_before": row["not_before"]} for row in rows],
        )
        await self._dispatcher.promote(work, rows)

    async def _cancel(self, work: Work, workload_id: str, ended: Record, wished: Outcome) -> None:
        journey = await open_journey(work, workload_id)
        if journey is None or not await self._dispatcher.withdraw(work, workload_id):
            return
        cause, message = await cause_of(work.connection, journey.row["owner"], ended, wished)
        journey.note(cause=cause)
        journey.move(WorkloadState.CANCELED, at=now(), reason=Reason.DEPENDENCY, message=message)
        await journey.save()

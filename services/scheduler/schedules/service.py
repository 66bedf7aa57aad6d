"""What users ask about schedules: make, change, look, end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import insert, update

from contracts.commands import (
    CreateSchedule,
    DeleteSchedule,
    PauseSchedule,
    ReplaceSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from contracts.errors import ConflictError, FieldError, InvalidError, MismatchError, NotFoundError, OverQuotaError
from contracts.events import ScheduleCreated, ScheduleDeleted
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import GetSchedule, ListSchedules, SchedulePage
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec, ScheduleState
from services.chassis.bus import Delivery
from services.chassis.cursors import read_cursor, write_cursor
from services.chassis.policy import require_visible, scope_of
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.admission import Admission
from services.scheduler.records import Record
from services.scheduler.tables import schedules

from . import store
from .firing import Firing, changed
from .records import new_row, principal_of, spec_of, to_schedule
from .timing import next_runs
from .words import mirror

__all__ = ["ScheduleService"]

_RECENT = 20
"""Runs that are shown with a schedule."""


class ScheduleService:
    """Keeps schedules. The table is the truth; Temporal is told of it and asked for nothing."""

    def __init__(self, *, unit: UnitOfWork, admission: Admission, firing: Firing, per_owner: int) -> None:
        self._unit = unit
        self._admission = admission
        self._firing = firing
        self._per_owner = per_owner

    # --- commands -----------------------------------------------------------------------------------------------

    async def create(self, command: CreateSchedule, delivery: Delivery) -> Schedule:
        """Make a schedule; the same identifier twice is the same schedule, if the request is the same."""
        async with self._unit.reading() as connection:
            known = await store.find(connection, command.schedule_id)
        if known is not None:
            return _same(known, command)
        spec = await self._admit(command.spec, command.principal)
        row = new_row(command.schedule_id, command.principal, spec, command.request_hash)
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                raise ConflictError("the command was handled before, but its schedule is gone")
            await self._require_room(work, row["owner"])
            await work.connection.execute(insert(schedules).values(**row))
            work.send(_created(row))
            work.defer(*mirror(row["id"]))
        return to_schedule(row)

    async def replace(self, command: ReplaceSchedule, delivery: Delivery) -> Schedule:
        """Let a schedule be another one."""
        row = await self._visible(command.principal, command.schedule_id, to_change=True)
        # Whoever changes it, its jobs run in its owner's name and are billed to what the owner may bill.
        spec = await self._admit(command.spec, principal_of(row) if _is_foreign(command, row) else command.principal)
        async with self._changing(command, delivery) as (work, found):
            if work is None:
                return to_schedule(found)
            if command.revision is not None and command.revision != found["revision"]:
                raise ConflictError(f"{found['id']} has been changed meanwhile: revision {found['revision']}")
            if spec.max_runs is not None and spec.max_runs <= found["runs"]:
                raise InvalidError.of("max_runs", f"it has run {found['runs']} times already")
            fresh = new_row(found["id"], Principal(subject=found["owner"]), spec, "")
            kept = {name: fresh[name] for name in ("project", "name", "spec", "state")}
            if not _is_foreign(command, found):
                kept["principal"] = new_row(found["id"], command.principal, spec, "")["principal"]
            return await self._change(work, found, last_error="", **kept)

    async def pause(self, command: PauseSchedule, delivery: Delivery) -> Schedule:
        """Make no more jobs for now."""
        return await self._turn(command, delivery, ScheduleState.PAUSED)

    async def resume(self, command: ResumeSchedule, delivery: Delivery) -> Schedule:
        """Go on making jobs."""
        return await self._turn(command, delivery, ScheduleState.ACTIVE)

    async def delete(self, command: DeleteSchedule, delivery: Delivery) -> Schedule:
        """Make no more jobs; those that were made stay."""
        async with self._changing(command, delivery) as (work, found):
            if work is None:
                return to_schedule(found)
            moment = now()
            found.update(state=ScheduleState.DELETED.value, revision=found["revision"] + 1, updated_at=moment)
            await _save(work, found, "state", "revision", "updated_at")
            work.send(
                ScheduleDeleted(schedule_id=found["id"], owner=found["owner"], project=found["project"], at=moment)
            )
            work.defer(*mirror(found["id"]))
            return to_schedule(found)

    async def trigger(self, command: TriggerSchedule, _delivery: Delivery) -> ScheduleRun:
        """Make one job now."""
        await self._visible(command.principal, command.schedule_id, to_change=True)
        run = await self._firing.fire(command.schedule_id, command.at, None)
        if run is None:
            raise NotFoundError(f"{command.schedule_id} does not exist")
        return run

    # --- queries ------------------------------------------------------------------------------------------------

    async def get(self, query: GetSchedule) -> Schedule:
        """Return one schedule with its last runs."""
        row = await self._visible(query.principal, query.schedule_id)
        async with self._unit.reading() as connection:
            return to_schedule(row, await store.last_runs(connection, row["id"], _RECENT))

    async def page(self, query: ListSchedules) -> SchedulePage:
        """Return a page of what the principal may see, newest first, each with its last run."""
        before = None if query.cursor is None else read_cursor(query.cursor, "s")
        async with self._unit.reading() as connection:
            rows = await store.page(connection, query, scope_of(query.principal), before)
            shown = rows[: query.limit]
            items = [to_schedule(row, await store.last_runs(connection, row["id"], 1), shown=1) for row in shown]
        more = write_cursor(shown[-1]["seq"], "s") if len(rows) > query.limit else None
        return SchedulePage(items=items, next_cursor=more)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _admit(self, spec: ScheduleSpec, principal: Principal) -> ScheduleSpec:
        """Refuse what could never run, or is never due; inputs are looked up when a run is due."""
        if not next_runs(spec, now(), 1):
            field = "end_at" if spec.end_at else "cron"
            raise InvalidError.of(field, "the schedule would never be due")
        try:
            job = await self._admission.check(spec.job, principal)
        except InvalidError as error:
            errors = [FieldError(field=f"job.{item.field}", message=item.message) for item in error.errors]
            raise InvalidError(f"job.{error.detail}" if errors else error.detail, errors=errors) from error
        return spec.model_copy(update={"job": job})

    async def _require_room(self, work: Work, owner: str) -> None:
        if await store.count_of(work.connection, owner) >= self._per_owner:
            raise OverQuotaError(f"{owner} has {self._per_owner} schedules, which is the most; delete one first")

    async def _visible(self, principal: Principal, schedule_id: str, *, to_change: bool = False) -> Record:
        async with self._unit.reading() as connection:
            row = await store.find(connection, schedule_id)
        return _visible_row(row, principal, schedule_id, to_change=to_change)

    @asynccontextmanager
    async def _changing(self, command: Any, delivery: Delivery) -> AsyncIterator[tuple[Work | None, Record]]:
        """Open a transaction on a schedule; no work if the message was handled before."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                yield None, await self._visible(command.principal, command.schedule_id)
                return
            row = await store.lock(work.connection, command.schedule_id)
            yield work, _visible_row(row, command.principal, command.schedule_id, to_change=True)

    async def _turn(self, command: Any, delivery: Delivery, state: ScheduleState) -> Schedule:
        async with self._changing(command, delivery) as (work, found):
            if work is None or found["state"] == state:
                return to_schedule(found)
            if found["state"] == ScheduleState.ENDED:
                raise ConflictError(f"{found['id']} has ended")
            spec = spec_of(found).model_copy(update={"paused": state is ScheduleState.PAUSED})
            return await self._change(work, found, state=state.value, spec=spec.model_dump(mode="json"))

    async def _change(self, work: Work, row: Record, **values: Any) -> Schedule:
        row.update(values, revision=row["revision"] + 1, updated_at=now())
        await _save(work, row, "revision", "updated_at", *values)
        work.send(changed(row))
        work.defer(*mirror(row["id"]))
        return to_schedule(row, await store.last_runs(work.connection, row["id"], _RECENT))


async def _save(work: Work, row: Record, *names: str) -> None:
    values = {name: row[name] for name in names}
    await work.connection.execute(update(schedules).where(schedules.c.id == row["id"]).values(**values))


def _is_foreign(command: ReplaceSchedule, row: Record) -> bool:
    return bool(command.principal.subject != row["owner"])


def _visible_row(row: Record | None, principal: Principal, schedule_id: str, *, to_change: bool = False) -> Record:
    if row is None or row["state"] == ScheduleState.DELETED:
        raise NotFoundError(f"{schedule_id} does not exist")
    require_visible(principal, row["owner"], row["project"], schedule_id, to_change=to_change)
    return row


def _same(row: Record, command: CreateSchedule) -> Schedule:
    """Return what the first of two equal requests made."""
    _visible_row(row, command.principal, row["id"])
    if command.request_hash and row["request_hash"] and command.request_hash != row["request_hash"]:
        raise MismatchError("this Idempotency-Key was used for another request")
    return to_schedule(row)


def _created(row: Record) -> ScheduleCreated:
    return ScheduleCreated(
        schedule_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        spec=spec_of(row),
        principal=principal_of(row),
        request_hash=row["request_hash"],
        at=row["created_at"],
    )

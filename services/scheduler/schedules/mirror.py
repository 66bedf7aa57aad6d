"""Keeps Temporal's schedules like ours: told by the outbox, and compared now and then, should either have been lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import structlog
import temporalio.client as temporal
from sqlalchemy import update
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from contracts.errors import UnavailableError
from contracts.schedules import Overlap, ScheduleState
from services.chassis.unit import OutboxRow, UnitOfWork
from services.scheduler.context import workload_context
from services.scheduler.records import Record
from services.scheduler.tables import schedules
from services.scheduler.workflows.schedule import ScheduledRun, ScheduleInput

from . import store
from .records import spec_of
from .timing import Calendar, calendars

__all__ = ["ScheduleMirror"]

_COMPARE_EVERY = 300.0
"""Seconds."""

_OVERLAPS = {
    Overlap.SKIP: temporal.ScheduleOverlapPolicy.SKIP,
    Overlap.BUFFER_ONE: temporal.ScheduleOverlapPolicy.BUFFER_ONE,
    Overlap.ALLOW: temporal.ScheduleOverlapPolicy.ALLOW_ALL,
    Overlap.CANCEL_OTHER: temporal.ScheduleOverlapPolicy.CANCEL_OTHER,
}

_GONE = frozenset({ScheduleState.DELETED, ScheduleState.ENDED})
_OWNER = SearchAttributeKey.for_keyword("Owner")
_PREFIX = "sch-"

log = structlog.get_logger(__name__)


class ScheduleMirror:
    """The sink of the outbox for schedules. What it is to say it reads from the tables when it says it."""

    def __init__(self, *, unit: UnitOfWork, task_queue: str) -> None:
        self._unit = unit
        self._task_queue = task_queue
        self._client: temporal.Client | None = None

    def use(self, client: temporal.Client) -> None:
        """Begin to work; before that every row waits."""
        self._client = client

    async def __call__(self, row: OutboxRow) -> None:
        """Say one row; repeats are harmless."""
        if self._client is None:
            raise UnavailableError("Temporal is not there yet", retry_after=1.0)
        verb, _, about = row.subject.partition("/")
        try:
            await (self._mirror(self._client, about) if verb == "mirror" else self._tell_end(self._client, about))
        except RPCError as error:
            raise UnavailableError(f"Temporal does not answer: {error.status.name}", retry_after=1.0) from error

    async def run(self) -> None:
        """Compare again and again until cancelled; begins when Temporal is there."""
        while True:
            try:
                await self.compare()
            except Exception:
                log.exception("schedules.compare_failed")
            await asyncio.sleep(_COMPARE_EVERY)

    async def compare(self) -> None:
        """Make Temporal's schedules like ours: those it lost are made anew, those that we do not know are removed."""
        assert self._client is not None
        async with self._unit.reading() as connection:
            known = await store.standing(connection)
        for schedule_id in known:
            await self._mirror(self._client, schedule_id)
        async for found in await self._client.list_schedules():
            if found.id.startswith(_PREFIX) and found.id not in known and await self._is_stray(self._client, found.id):
                await self._remove(self._client, found.id)

    async def _is_stray(self, client: temporal.Client, schedule_id: str) -> bool:
        """Say whether a schedule is ours (others may share the namespace) but not in our table."""
        async with self._unit.reading() as connection:
            row = await store.find(connection, schedule_id)
        if row is not None:
            return ScheduleState(row["state"]) in _GONE
        try:
            action = (await client.get_schedule_handle(schedule_id).describe()).schedule.action
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return isinstance(action, temporal.ScheduleActionStartWorkflow) and action.task_queue == self._task_queue

    async def _mirror(self, client: temporal.Client, schedule_id: str) -> None:
        async with self._unit.reading() as connection:
            row = await store.find(connection, schedule_id)
        if row is None or ScheduleState(row["state"]) in _GONE:
            await self._remove(client, schedule_id)
            return
        try:
            await self._put(client, row)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            # It would be refused for ever. Its owner is told where they look.
            log.warning("schedules.refused_by_temporal", schedule=schedule_id, error=error.message)
            await self._note(schedule_id, f"this schedule cannot run: {error.message}")

    async def _put(self, client: temporal.Client, row: Record) -> None:
        wanted = self._wanted(row)
        try:
            await client.create_schedule(row["id"], wanted)
        except temporal.ScheduleAlreadyRunningError:
            # An update makes Temporal forget what it has still to catch up with: only where something changed.
            handle = client.get_schedule_handle(row["id"])
            if (await handle.describe()).schedule.state.note != wanted.state.note:
                await handle.update(lambda _: temporal.ScheduleUpdate(schedule=wanted))

    async def _remove(self, client: temporal.Client, schedule_id: str) -> None:
        try:
            await client.get_schedule_handle(schedule_id).delete()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _tell_end(self, client: temporal.Client, job_id: str) -> None:
        async with self._unit.reading() as connection:
            run = await store.run_of_job(connection, job_id)
        if run is None or run["workflow_id"] is None:
            return
        try:
            await client.get_workflow_handle(run["workflow_id"]).signal(ScheduledRun.ended)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    async def _note(self, schedule_id: str, trouble: str) -> None:
        async with self._unit.begin(workload_context(schedule_id)) as work:
            change = update(schedules).where(schedules.c.id == schedule_id).values(last_error=trouble)
            await work.connection.execute(change)

    def _wanted(self, row: Record) -> temporal.Schedule:
        spec = spec_of(row)
        action = temporal.ScheduleActionStartWorkflow(
            ScheduledRun.run,
            ScheduleInput(
                schedule_id=row["id"],
                stay=spec.overlap is not Overlap.ALLOW,
                patience=spec.catch_up.total_seconds(),
            ),
            id=row["id"],
            task_queue=self._task_queue,
            typed_search_attributes=TypedSearchAttributes([SearchAttributePair(_OWNER, row["owner"])]),
            static_summary=spec.name,
        )
        return temporal.Schedule(
            action=action,
            spec=temporal.ScheduleSpec(
                calendars=[_calendar(found) for found in calendars(spec.cron)] if spec.cron else [],
                intervals=[temporal.ScheduleIntervalSpec(every=spec.every)] if spec.every else [],
                start_at=spec.start_at,
                end_at=spec.end_at,
                jitter=spec.jitter or None,
                time_zone_name=spec.time_zone,
            ),
            policy=temporal.SchedulePolicy(
                overlap=_OVERLAPS[spec.overlap], catchup_window=max(spec.catch_up, timedelta(seconds=10))
            ),
            state=temporal.ScheduleState(
                note=f"revision {row['revision']}", paused=row["state"] == ScheduleState.PAUSED
            ),
        )


def _calendar(found: Calendar) -> temporal.ScheduleCalendarSpec:
    return temporal.ScheduleCalendarSpec(
        minute=_ranges(found.minutes),
        hour=_ranges(found.hours),
        day_of_month=_ranges(found.days),
        month=_ranges(found.months),
        day_of_week=_ranges(found.weekdays),
    )


def _ranges(values: frozenset[int]) -> list[temporal.ScheduleRange]:
    """Say a set as few ranges: neighbours go together."""
    found: list[temporal.ScheduleRange] = []
    for value in sorted(values):
        if found and found[-1].end == value - 1:
            found[-1] = temporal.ScheduleRange(found[-1].start, value)
        else:
            found.append(temporal.ScheduleRange(value, value))
    return found

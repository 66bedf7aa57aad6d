"""Schedules, as users ask for them: everything is the scheduler's; this says it on the bus and waits."""

from __future__ import annotations

from contracts.commands import (
    Command,
    CreateSchedule,
    DeleteSchedule,
    PauseSchedule,
    ReplaceSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from contracts.ids import workload_id, workload_id_from
from contracts.model import now
from contracts.queries import GetSchedule, ListSchedules, SchedulePage
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from contracts.secrets import replace_secrets
from services.chassis.bus import Bus
from services.chassis.sealing import Sealer

from .callers import Caller
from .demand import gpus_of
from .jobs import hash_of

__all__ = ["ScheduleService"]

_PREFIX = "sch"


class ScheduleService:
    """Makes, shows and steers schedules for one caller. None means: the scheduler is away, the command is kept."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float, sealer: Sealer) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait
        self._sealer = sealer

    async def create(
        self, spec: ScheduleSpec, *, key: str | None, wait: float | None
    ) -> tuple[str, Schedule | None, bool]:
        """Make a schedule; returns its id, its record, and whether an earlier request with the same key had made it."""
        self._caller.require(gpus=gpus_of(spec.job))
        principal = self._caller.principal
        schedule_id = workload_id_from(principal.subject, key, _PREFIX) if key else workload_id(_PREFIX)
        asked_at = now()
        command = CreateSchedule(
            schedule_id=schedule_id,
            principal=principal,
            spec=replace_secrets(spec, self._sealer.seal),
            request_hash=hash_of(replace_secrets(spec, self._sealer.mark)) if key else "",
        )
        schedule = await self._order(command, wait)
        return schedule_id, schedule, bool(key and schedule and schedule.created_at < asked_at)

    async def replace(self, schedule_id: str, spec: ScheduleSpec, revision: int | None) -> Schedule | None:
        """Let a schedule be another one."""
        self._caller.require(gpus=gpus_of(spec.job))
        principal = self._caller.principal
        sealed = replace_secrets(spec, self._sealer.seal)
        return await self._order(
            ReplaceSchedule(schedule_id=schedule_id, principal=principal, spec=sealed, revision=revision)
        )

    async def pause(self, schedule_id: str) -> Schedule | None:
        """Make no more jobs for now."""
        return await self._order(PauseSchedule(schedule_id=schedule_id, principal=self._caller.principal))

    async def resume(self, schedule_id: str) -> Schedule | None:
        """Go on making jobs."""
        await self._require_wanted(schedule_id)
        return await self._order(ResumeSchedule(schedule_id=schedule_id, principal=self._caller.principal))

    async def delete(self, schedule_id: str) -> bool:
        """Make no more jobs, ever; false: it will be done later."""
        command = DeleteSchedule(schedule_id=schedule_id, principal=self._caller.principal)
        return await self._order(command) is not None

    async def trigger(self, schedule_id: str) -> ScheduleRun | None:
        """Make one job now."""
        await self._require_wanted(schedule_id)
        command = TriggerSchedule(schedule_id=schedule_id, principal=self._caller.principal, at=now())
        run: ScheduleRun | None = await self._bus.order(
            command, self._caller.context, wait=self._wait, answer=ScheduleRun
        )
        return run

    async def _require_wanted(self, schedule_id: str) -> None:
        """Refuse what the credential forbids, now that a schedule of some time ago is to make jobs."""
        if self._caller.is_limited:
            self._caller.require(gpus=gpus_of((await self.get(schedule_id)).spec.job))

    async def get(self, schedule_id: str) -> Schedule:
        """Return one schedule with its last runs."""
        query = GetSchedule(principal=self._caller.principal, schedule_id=schedule_id)
        found: Schedule = await self._bus.ask(query)
        return found

    async def page(self, *, limit: int, cursor: str | None, owner: str | None, name: str | None) -> SchedulePage:
        """Return some schedules, newest first."""
        query = ListSchedules(
            principal=self._caller.principal, limit=limit, cursor=cursor, owner=owner, schedule_name=name
        )
        page: SchedulePage = await self._bus.ask(query)
        return page

    async def _order(self, command: Command, wait: float | None = None) -> Schedule | None:
        seconds = self._wait if wait is None else wait
        answer: Schedule | None = await self._bus.order(command, self._caller.context, wait=seconds, answer=Schedule)
        return answer

"""Somebody who keeps schedules, as the gateway speaks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from contracts.commands import (
    Command,
    CreateSchedule,
    DeleteSchedule,
    PauseSchedule,
    ReplaceSchedule,
    ResumeSchedule,
    TriggerSchedule,
)
from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import GetSchedule, ListSchedules, SchedulePage
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from services.chassis.bus import Bus
from tests.support.scheduler import ADA

__all__ = ["Keeper"]


class Keeper:
    """Sends what the gateway would send."""

    def __init__(self, bus: Bus, principal: Principal = ADA) -> None:
        self._bus = bus
        self._principal = principal

    async def order(self, command: Command, answer: Any = Schedule) -> Any:
        """Send a command and wait for the answer."""
        context = Context.start(f"user:{self._principal.subject}")
        return await self._bus.order(command, context, wait=15, answer=answer)

    async def create(self, schedule_id: str | None = None, request_hash: str = "", **spec: Any) -> Schedule:
        """Make a schedule."""
        asked = self.spec(**spec)
        found: Schedule = await self.order(
            CreateSchedule(
                schedule_id=schedule_id or workload_id("sch"),
                principal=self._principal,
                spec=asked,
                request_hash=request_hash,
            )
        )
        return found

    @staticmethod
    def spec(**spec: Any) -> ScheduleSpec:
        """Return a spec; by default one that is not due before long."""
        job = {"argv": ["true"], **spec.pop("job", {})}
        given = {"name": "nightly", **({"every": "300d"} if not {"cron", "every"} & set(spec) else {}), **spec}
        return ScheduleSpec.model_validate({**given, "job": job})

    async def replace(self, schedule_id: str, revision: int | None = None, **spec: Any) -> Schedule:
        """Change a schedule."""
        found: Schedule = await self.order(
            ReplaceSchedule(
                schedule_id=schedule_id, principal=self._principal, spec=self.spec(**spec), revision=revision
            )
        )
        return found

    async def pause(self, schedule_id: str) -> Schedule:
        """Pause a schedule."""
        found: Schedule = await self.order(PauseSchedule(schedule_id=schedule_id, principal=self._principal))
        return found

    async def resume(self, schedule_id: str) -> Schedule:
        """Resume a schedule."""
        found: Schedule = await self.order(ResumeSchedule(schedule_id=schedule_id, principal=self._principal))
        return found

    async def delete(self, schedule_id: str) -> Schedule:
        """Delete a schedule."""
        found: Schedule = await self.order(DeleteSchedule(schedule_id=schedule_id, principal=self._principal))
        return found

    async def trigger(self, schedule_id: str) -> ScheduleRun:
        """Have one run now."""
        command = TriggerSchedule(schedule_id=schedule_id, principal=self._principal, at=now())
        found: ScheduleRun = await self.order(command, ScheduleRun)
        return found

    async def get(self, schedule_id: str) -> Schedule:
        """Look at a schedule."""
        found: Schedule = await self._bus.ask(GetSchedule(principal=self._principal, schedule_id=schedule_id))
        return found

    async def page(self, **wanted: Any) -> SchedulePage:
        """Look at some."""
        found: SchedulePage = await self._bus.ask(ListSchedules(principal=self._principal, **wanted))
        return found

    async def until(self, schedule_id: str, holds: Callable[[Schedule], bool], *, seconds: float = 90) -> Schedule:
        """Wait until something holds of a schedule."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(UnavailableError):
                    found = await self.get(schedule_id)
                    if holds(found):
                        return found
                await asyncio.sleep(0.05)

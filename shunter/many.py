"""What both clients offer for many jobs: schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec

from .calls import schedules
from .calls.call import Call
from .models import ScheduleList

__all__ = ["AsyncMany", "Many"]

T = TypeVar("T")


class Many(ABC):
    """Many jobs, for the client."""

    @abstractmethod
    def _send(self, call: Call[T]) -> T: ...

    def create_schedule(self, spec: ScheduleSpec, *, key: str | None = None) -> Schedule | None:
        """Make a schedule; none: the scheduler is away, the command is kept."""
        return self._send(schedules.create_schedule(spec, key=key))

    def replace_schedule(self, schedule_id: str, spec: ScheduleSpec, *, revision: int | None = None) -> Schedule | None:
        """Let a schedule be another one, if it still has this *revision*; none: it will be done later."""
        return self._send(schedules.replace_schedule(schedule_id, spec, revision=revision))

    def list_schedules(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> ScheduleList:
        """Return a page of schedules, newest first."""
        return self._send(schedules.list_schedules(name=name, owner=owner, limit=limit, cursor=cursor))

    def get_schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule, with what it will do next and did last."""
        return self._send(schedules.get_schedule(schedule_id))

    def pause_schedule(self, schedule_id: str) -> Schedule | None:
        """Make no more jobs for now; none: it will be done later."""
        return self._send(schedules.pause_schedule(schedule_id))

    def resume_schedule(self, schedule_id: str) -> Schedule | None:
        """Go on making jobs; none: it will be done later."""
        return self._send(schedules.resume_schedule(schedule_id))

    def trigger_schedule(self, schedule_id: str) -> ScheduleRun | None:
        """Make one job now, whatever is running; none: it will be done later."""
        return self._send(schedules.trigger_schedule(schedule_id))

    def delete_schedule(self, schedule_id: str) -> bool:
        """Make no more jobs, ever; those that were made stay. False: it will be done later."""
        return self._send(schedules.delete_schedule(schedule_id))


class AsyncMany(ABC):
    """The same, awaited."""

    @abstractmethod
    async def _send(self, call: Call[T]) -> T: ...

    async def create_schedule(self, spec: ScheduleSpec, *, key: str | None = None) -> Schedule | None:
        """Make a schedule; none: the scheduler is away, the command is kept."""
        return await self._send(schedules.create_schedule(spec, key=key))

    async def replace_schedule(
        self, schedule_id: str, spec: ScheduleSpec, *, revision: int | None = None
    ) -> Schedule | None:
        """Let a schedule be another one, if it still has this *revision*; none: it will be done later."""
        return await self._send(schedules.replace_schedule(schedule_id, spec, revision=revision))

    async def list_schedules(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> ScheduleList:
        """Return a page of schedules, newest first."""
        return await self._send(schedules.list_schedules(name=name, owner=owner, limit=limit, cursor=cursor))

    async def get_schedule(self, schedule_id: str) -> Schedule:
        """Return a schedule, with what it will do next and did last."""
        return await self._send(schedules.get_schedule(schedule_id))

    async def pause_schedule(self, schedule_id: str) -> Schedule | None:
        """Make no more jobs for now; none: it will be done later."""
        return await self._send(schedules.pause_schedule(schedule_id))

    async def resume_schedule(self, schedule_id: str) -> Schedule | None:
        """Go on making jobs; none: it will be done later."""
        return await self._send(schedules.resume_schedule(schedule_id))

    async def trigger_schedule(self, schedule_id: str) -> ScheduleRun | None:
        """Make one job now, whatever is running; none: it will be done later."""
        return await self._send(schedules.trigger_schedule(schedule_id))

    async def delete_schedule(self, schedule_id: str) -> bool:
        """Make no more jobs, ever; those that were made stay. False: it will be done later."""
        return await self._send(schedules.delete_schedule(schedule_id))

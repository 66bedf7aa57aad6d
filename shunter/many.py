"""What both clients offer for many jobs: batches and schedules."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from contracts.batches import Batch, BatchSpec
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec

from .calls import batches, schedules
from .calls.call import Call
from .hooks import AsyncHooks, Hooks
from .models import BatchList, BatchSubmission, ScheduleList

__all__ = ["AsyncMany", "Many"]

T = TypeVar("T")


class Many(Hooks, ABC):
    """Many jobs, for the client."""

    @abstractmethod
    def _send(self, call: Call[T]) -> T: ...

    def submit_batch(self, spec: BatchSpec, *, key: str | None = None) -> BatchSubmission:
        """Submit many jobs, all or none. The same *key* twice makes one batch; one is made up if none is given."""
        return self._send(batches.submit_batch(spec, key=key))

    def list_batches(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> BatchList:
        """Return a page of batches, newest first, without their jobs."""
        return self._send(batches.list_batches(name=name, owner=owner, limit=limit, cursor=cursor))

    def get_batch(self, batch_id: str) -> Batch:
        """Return a batch with its jobs and how they stand."""
        return self._send(batches.get_batch(batch_id))

    def cancel_batch(self, batch_id: str) -> Batch | None:
        """End all jobs of a batch; none: it will be done later."""
        return self._send(batches.cancel_batch(batch_id))

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


class AsyncMany(AsyncHooks, ABC):
    """The same, awaited."""

    @abstractmethod
    async def _send(self, call: Call[T]) -> T: ...

    async def submit_batch(self, spec: BatchSpec, *, key: str | None = None) -> BatchSubmission:
        """Submit many jobs, all or none. The same *key* twice makes one batch; one is made up if none is given."""
        return await self._send(batches.submit_batch(spec, key=key))

    async def list_batches(
        self, *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> BatchList:
        """Return a page of batches, newest first, without their jobs."""
        return await self._send(batches.list_batches(name=name, owner=owner, limit=limit, cursor=cursor))

    async def get_batch(self, batch_id: str) -> Batch:
        """Return a batch with its jobs and how they stand."""
        return await self._send(batches.get_batch(batch_id))

    async def cancel_batch(self, batch_id: str) -> Batch | None:
        """End all jobs of a batch; none: it will be done later."""
        return await self._send(batches.cancel_batch(batch_id))

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

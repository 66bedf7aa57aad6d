"""What a run of a schedule has done for it."""

from __future__ import annotations

from temporalio import activity

from contracts.errors import UnavailableError
from contracts.schedules import RunOutcome
from services.scheduler.schedules.firing import Firing
from services.scheduler.workflows.schedule import CancelRun, Fired, RunRef, ScheduleCalls

from .errors import translated_for_temporal

__all__ = ["ScheduleActivities"]


class ScheduleActivities(ScheduleCalls):
    """The activities of schedules."""

    def __init__(self, *, firing: Firing) -> None:
        self._firing = firing

    @activity.defn
    @translated_for_temporal
    async def fire_schedule(self, run: RunRef) -> Fired:
        """Submit the job of a run, unless the schedule makes no more."""
        try:
            found = await self._firing.fire(run.schedule_id, run.scheduled_for, run.workflow_id, last=run.last)
        except UnavailableError as error:
            return Fired(message=error.detail, again=True)
        if found is None:
            return Fired(message="the schedule makes no more jobs")
        if found.outcome is RunOutcome.REFUSED:
            return Fired(message=found.message)
        return Fired(job_id=found.job_id)

    @activity.defn
    @translated_for_temporal
    async def cancel_run(self, run: CancelRun) -> None:
        """Ask for the end of a run's job."""
        await self._firing.cancel(run.job_id, run.message)

    @activity.defn
    @translated_for_temporal
    async def is_run_over(self, job_id: str) -> bool:
        """Say whether a run's job has ended."""
        return await self._firing.is_over(job_id)

"""One run of a schedule: submit the job, and stay until it has ended, so that Temporal knows what would overlap."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from contracts.model import Model

__all__ = ["CancelRun", "Fired", "RunRef", "ScheduleCalls", "ScheduleInput", "ScheduledRun"]

_SCHEDULED_FOR = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")
"""Temporal says here for which moment it started the run."""

_PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=30))
_STEP = timedelta(seconds=30)
_LONG_BACKOFF = timedelta(minutes=10)

_FIRST_PAUSE = timedelta(seconds=1)
_LONGEST_PAUSE = timedelta(minutes=1)

_LOOK_EVERY = timedelta(minutes=10)
"""The end of a job is told by a signal; should one be lost, somebody looks."""


class ScheduleInput(Model):
    """What a run must know."""

    schedule_id: str
    stay: bool = True
    """Whether to stay until the job has ended; where runs may overlap there is nothing to stay for."""
    patience: float = 600.0
    """Seconds for which a submit is tried while what it needs is away; then the run is given up."""


class RunRef(Model):
    """One run."""

    schedule_id: str
    scheduled_for: datetime
    workflow_id: str
    last: bool = False
    """Whether nobody will try again."""


class Fired(Model):
    """What came of a run; without a job there is nothing to wait for."""

    job_id: str | None = None
    message: str = ""
    again: bool = False
    """Whether something was away, so that it should be tried again."""


class CancelRun(Model):
    """End the job of a run."""

    job_id: str
    message: str = ""


class ScheduleCalls(ABC):
    """What a run has done for it. Every call repeats harmlessly."""

    @activity.defn
    @abstractmethod
    async def fire_schedule(self, run: RunRef) -> Fired:
        """Submit the job of a run."""

    @activity.defn
    @abstractmethod
    async def cancel_run(self, run: CancelRun) -> None:
        """Ask for the end of a run's job."""

    @activity.defn
    @abstractmethod
    async def is_run_over(self, job_id: str) -> bool:
        """Say whether a run's job has ended."""


@workflow.defn(name="schedule-run")
class ScheduledRun:
    """One run of a schedule."""

    @workflow.init
    def __init__(self, asked: ScheduleInput) -> None:
        self._asked = asked
        self._ended = False
        self._over = False

    @workflow.run
    async def run(self, asked: ScheduleInput) -> Fired:
        """Submit the job; if the next run cancels this one, end it."""
        submitting = asyncio.create_task(self._fire())
        canceled = False
        try:
            fired = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # Temporal wants the next run to begin. The job may be there already: find out, then end it.
            canceled, fired = True, await submitting
        if fired.job_id is None or not asked.stay:
            return fired
        try:
            if not canceled:
                await self._wait(fired.job_id)
        except asyncio.CancelledError:
            canceled = True
        if canceled:
            await self._cancel(fired.job_id)
            await self._wait(fired.job_id)
        return fired

    @workflow.signal
    def ended(self) -> None:
        """Note that the job has ended."""
        self._ended = True

    async def _fire(self) -> Fired:
        """Submit. Pauses are timers and no retries of the activity: those would hold up the end of the worker."""
        last_try = workflow.now() + timedelta(seconds=self._asked.patience)
        pause = _FIRST_PAUSE
        while (fired := await self._try_to_fire(last=workflow.now() >= last_try)).again:
            await workflow.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        return fired

    async def _try_to_fire(self, *, last: bool) -> Fired:
        info = workflow.info()
        fired: Fired = await workflow.execute_local_activity_method(
            ScheduleCalls.fire_schedule,
            RunRef(
                schedule_id=self._asked.schedule_id,
                scheduled_for=info.typed_search_attributes.get(_SCHEDULED_FOR) or info.start_time,
                workflow_id=info.workflow_id,
                last=last,
            ),
            start_to_close_timeout=_STEP,
            retry_policy=_PATIENT,
            local_retry_threshold=_LONG_BACKOFF,
        )
        return fired

    async def _wait(self, job_id: str) -> None:
        while not (self._ended or self._over):
            with suppress(TimeoutError):
                await workflow.wait_condition(lambda: self._ended, timeout=_LOOK_EVERY)
                return
            self._over = await workflow.execute_local_activity_method(
                ScheduleCalls.is_run_over,
                job_id,
                start_to_close_timeout=_STEP,
                retry_policy=_PATIENT,
                local_retry_threshold=_LONG_BACKOFF,
            )

    async def _cancel(self, job_id: str) -> None:
        await workflow.execute_local_activity_method(
            ScheduleCalls.cancel_run,
            CancelRun(job_id=job_id, message="canceled, because the next run of its schedule is due"),
            start_to_close_timeout=_STEP,
            retry_policy=_PATIENT,
            local_retry_threshold=_LONG_BACKOFF,
        )

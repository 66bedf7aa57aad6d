"""A run of a schedule that is due: one job, in the owner's name, however often we are told."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert, update

from contracts.commands import CancelWorkload, SubmitWorkload
from contracts.errors import ConflictError, NotFoundError, RefusedError, UnavailableError
from contracts.events import ScheduleChanged, ScheduleFired
from contracts.model import now
from contracts.schedules import RunOutcome, ScheduleRun, ScheduleState
from services.chassis.bus import Delivery
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.context import workload_context
from services.scheduler.records import Record
from services.scheduler.service import WorkloadService
from services.scheduler.tables import schedule_runs, schedules

from . import store
from .records import new_run, principal_of, spec_of, to_run
from .words import fire_message, mirror

__all__ = ["Firing", "changed"]


class Firing:
    """Submits what schedules ask for."""

    def __init__(self, *, unit: UnitOfWork, workloads: WorkloadService) -> None:
        self._unit = unit
        self._workloads = workloads

    async def fire(
        self, schedule_id: str, scheduled_for: datetime, workflow_id: str | None, *, last: bool = False
    ) -> ScheduleRun | None:
        """Submit the job of one run; none if the schedule makes no more. Without *workflow_id* somebody asked for it.

        The run is written down before its job is submitted: whoever ends the job finds out whom to tell. At the *last*
        try a run that cannot be submitted is given up.
        """
        async with self._unit.begin(workload_context(schedule_id)) as work:
            row = await store.lock(work.connection, schedule_id)
            run = await store.find_run(work.connection, schedule_id, scheduled_for)
            if run is None:
                if row is None or not _may_run(row, by_hand=workflow_id is None):
                    return None
                run = await self._open(work, row, scheduled_for, workflow_id)
        if row is None or run["outcome"] != RunOutcome.PENDING:
            return to_run(run)
        return await self._close(row, run, await self._submit(row, run, last=last))

    async def cancel(self, job_id: str, message: str) -> None:
        """End the job of a run, because the next one is due."""
        async with self._unit.reading() as connection:
            run = await store.run_of_job(connection, job_id)
            row = await store.find(connection, run["schedule_id"]) if run else None
        if row is None:
            return
        command = CancelWorkload(workload_id=job_id, principal=principal_of(row), message=message)
        try:
            await self._workloads.cancel(command, Delivery(f"overlap-{job_id}", workload_context(job_id)))
        except (ConflictError, NotFoundError):
            return  # it has ended by itself, or never was

    async def is_over(self, job_id: str) -> bool:
        """Say whether the job of a run has ended."""
        return await self._workloads.is_over(job_id)

    async def _open(self, work: Work, row: Record, scheduled_for: datetime, workflow_id: str | None) -> Record:
        run = new_run(row["id"], scheduled_for, workflow_id=workflow_id)
        await work.connection.execute(insert(schedule_runs).values(**run))
        values: dict[str, Any] = {"runs": row["runs"] + 1}
        longest = spec_of(row).max_runs
        if longest is not None and values["runs"] >= longest and row["state"] == ScheduleState.ACTIVE:
            values.update(state=ScheduleState.ENDED.value, revision=row["revision"] + 1, updated_at=now())
        await work.connection.execute(update(schedules).where(schedules.c.id == row["id"]).values(**values))
        if "state" in values:
            work.send(changed({**row, **values}))
            work.defer(*mirror(row["id"]))
        return run

    async def _submit(self, row: Record, run: Record, *, last: bool) -> str:
        """Hand the job in; returns why it was refused, or nothing."""
        spec = spec_of(row)
        job = spec.job.model_copy(update={"name": spec.job.name or spec.name})
        command = SubmitWorkload(
            workload_id=run["job_id"], principal=principal_of(row), spec=job, schedule_id=row["id"]
        )
        try:
            await self._workloads.submit(
                command, Delivery(fire_message(run["job_id"]), workload_context(run["job_id"]))
            )
        except RefusedError as refusal:
            return refusal.detail or "refused"
        except UnavailableError as error:
            if not last:
                raise
            return f"given up: {error.detail}"
        return ""

    async def _close(self, row: Record, run: Record, refusal: str) -> ScheduleRun:
        outcome = RunOutcome.REFUSED if refusal else RunOutcome.SUBMITTED
        run.update(outcome=outcome.value, message=refusal)
        this = schedule_runs.c.job_id == run["job_id"], schedule_runs.c.outcome == RunOutcome.PENDING.value
        async with self._unit.begin(workload_context(run["job_id"])) as work:
            values = {"outcome": run["outcome"], "message": refusal}
            done = await work.connection.execute(update(schedule_runs).where(*this).values(**values))
            if done.rowcount:
                await work.connection.execute(
                    update(schedules).where(schedules.c.id == row["id"]).values(last_error=refusal)
                )
                work.send(_fired(row, run))
        return to_run(run)


def _may_run(row: Record, *, by_hand: bool) -> bool:
    if by_hand:
        return ScheduleState(row["state"]) is not ScheduleState.DELETED
    return ScheduleState(row["state"]) is ScheduleState.ACTIVE


def _fired(row: Record, run: Record) -> ScheduleFired:
    return ScheduleFired(
        schedule_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        scheduled_for=run["scheduled_for"],
        job_id=run["job_id"],
        outcome=RunOutcome(run["outcome"]),
        message=run["message"],
        by_hand=run["by_hand"],
        at=now(),
    )


def changed(row: Record) -> ScheduleChanged:
    """Return the event of a change."""
    return ScheduleChanged(
        schedule_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        revision=row["revision"],
        state=ScheduleState(row["state"]),
        spec=spec_of(row),
        at=row["updated_at"],
    )

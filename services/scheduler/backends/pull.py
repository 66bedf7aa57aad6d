"""The `pull` backend: a queue in our own tables, from which workers of elsewhere lease attempts over REST."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from contracts.errors import ShunterError, UnavailableError
from contracts.model import now
from contracts.runs import RunTask
from contracts.states import Reason
from contracts.subjects import work_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork
from services.scheduler.context import workload_context
from services.scheduler.pulls import store
from services.scheduler.pulls.store import PullState
from services.scheduler.settings import PullSettings
from services.scheduler.store import find as find_workload

from .base import Backend, Cancelled, Capability, Capacity, NativeJob, Observation, Portions

__all__ = ["PullBackend"]

_TASKS_AT_ONCE = 64
"""Tasks of one array that lie in the queue or are lent at once; each end of one lets another one come."""


class PullBackend(Backend):
    """It takes whatever comes; the worker for it may turn up later."""

    kind = "pull"
    capabilities = frozenset(
        {
            *(Capability.ARCHITECTURES, Capability.ARRAYS, Capability.ENVIRONMENTS),
            *(Capability.GPUS, Capability.IMAGES),
        }
    )
    is_patient = True
    is_near = True

    def __init__(self, *, name: str, settings: PullSettings, unit: UnitOfWork, bus: Bus) -> None:
        self.name = name
        self.on_request = not settings.open
        self.lost_attempts = settings.retries
        self._settings = settings
        self._unit = unit
        self._bus = bus

    async def submit(self, task: RunTask) -> None:
        """Put the attempt into the queue, and say so to workers that wait."""
        async with self._unit.begin(workload_context(task.workload_id)) as work:
            row = await find_workload(work.connection, task.workload_id)
            moment = now()
            await store.add(work.connection, self.name, task, row["created_at"] if row else moment, moment)
        with suppress(ShunterError), translated("NATS"):  # who was not told asks again by itself
            await self._bus.connection.publish(work_subject(self.name), b"")

    def portions(self, task: RunTask) -> Portions:  # noqa: ARG002 (of every array)
        """Hand tasks of arrays out one by one: who takes one may never come back with it."""
        return Portions(window=_TASKS_AT_ONCE, largest=1)

    async def observe(self, job: NativeJob) -> Observation | None:
        """Look into the queue; what was taken from a worker that fell silent is forgotten."""
        async with self._unit.looking_up() as connection:
            row = await store.find_attempt(connection, job.workload_id, job.attempt)
        if row is None or (row["state"] == PullState.ENDED and row["ending"] == Reason.LOST):
            return None
        return _SEEN[PullState(row["state"])]

    async def cancel(self, job: NativeJob, tasks: str | None = None) -> Cancelled:  # noqa: ARG002 (a bundle has one)
        """Take it out of the queue, or have its worker told at its next word."""
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            row = await store.find_attempt(work.connection, job.workload_id, job.attempt, to_change=True)
            if row is None:
                return Cancelled.GONE
            number, canceled = row["number"], Reason.CANCELED.value
            match PullState(row["state"]):
                case PullState.WAITING:
                    values = {"state": PullState.ENDED.value, "ending": canceled}
                    await store.change(work.connection, number, PullState.WAITING, **values)
                case PullState.LEASED:
                    reason = await _why(work.connection, job)
                    await store.change(work.connection, number, PullState.LEASED, ending=row["ending"] or reason)
                    return Cancelled.ENDING
                case PullState.ENDED if row["ending"] not in {canceled, Reason.LOST.value}:
                    return Cancelled.ENDING  # its last report is on the way
        return Cancelled.GONE

    async def take_back(self, job: NativeJob) -> Cancelled | None:
        """Take it out of the queue, unless a worker has it."""
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            row = await store.find_attempt(work.connection, job.workload_id, job.attempt, to_change=True)
            if row is not None and row["state"] == PullState.LEASED:
                return None
            if row is not None:
                values = {"state": PullState.ENDED.value, "ending": row["ending"] or Reason.CANCELED.value}
                await store.change(work.connection, row["number"], PullState.WAITING, **values)
        return Cancelled.GONE

    async def capacity(self) -> Capacity:
        """Sum up the workers that were there lately."""
        since = now() - timedelta(seconds=self._settings.alive)
        async with self._unit.looking_up() as connection:
            workers = await store.workers_since(connection, self.name, since)
            if not workers:
                raise UnavailableError(f"no worker of {self.name!r} was there in the last {self._settings.alive:g} s")
            counts = await store.count(connection, self.name)
        busy = min(counts.get(PullState.LEASED, 0), len(workers))
        free = (len(workers) - busy) / len(workers)
        return Capacity(
            cpus=sum(worker["cpus"] for worker in workers),
            cpus_free=free * sum(worker["cpus"] for worker in workers),
            memory=sum(worker["memory"] for worker in workers),
            memory_free=int(free * sum(worker["memory"] for worker in workers)),
            gpus=sum(worker["gpus"] for worker in workers),
            gpu_models=tuple(sorted({worker["gpu_model"] for worker in workers if worker["gpu_model"]})),
            running=counts.get(PullState.LEASED, 0),
            queued=counts.get(PullState.WAITING, 0),
            largest_cpus=max(worker["cpus"] for worker in workers),
            largest_memory=max(worker["memory"] for worker in workers),
            largest_gpus=max(worker["gpus"] for worker in workers),
        )


_SEEN = {
    PullState.WAITING: Observation.QUEUED,
    PullState.LEASED: Observation.RUNNING,
    PullState.ENDED: Observation.ENDED,
}


async def _why(connection: AsyncConnection, job: NativeJob) -> str:
    """Say why an attempt is to be ended: somebody wished it, or it ran too long."""
    row = await find_workload(connection, job.workload_id)
    wished = row is None or row["cancel_requested"] or row["attempt"] != job.attempt or row["tasks"] is not None
    return (Reason.CANCELED if wished else Reason.WALLTIME).value

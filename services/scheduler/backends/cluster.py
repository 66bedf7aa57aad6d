"""A cluster as a backend: attempts go into our own table; its keeper has native jobs started for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import RefusedError, ShunterError
from contracts.model import now
from contracts.ranges import Ranges
from contracts.runs import RunTask
from contracts.states import Reason
from contracts.subjects import work_subject
from services.chassis.errors import translated
from services.scheduler.context import workload_context
from services.scheduler.natives import jobs, store
from services.scheduler.natives.cluster import Cluster
from services.scheduler.natives.packing import is_small
from services.scheduler.natives.words import AttemptState, read_name
from services.scheduler.records import Record
from services.scheduler.store import find as find_workload

from .base import Backend, Cancelled, Capability, Capacity, NativeJob, Observation, Portions, Sighting

__all__ = ["ClusterBackend"]

_PATIENCE = 2.0
"""Seconds that the cluster has to refuse an attempt in the same breath."""

_GLANCE = 0.2
"""Seconds between two looks whether an attempt is gone."""

_PACKS = 64
"""Bundles of one array that are packs."""

_SINGLES = 500
"""Tasks of one array that are native jobs of their own."""

_SEEN = {
    AttemptState.WAITING: Observation.QUEUED,
    AttemptState.PLACED: Observation.QUEUED,
    AttemptState.GIVEN: Observation.RUNNING,
    AttemptState.ENDED: Observation.ENDED,
}


class ClusterBackend(Backend):
    """Our durable table, and an engine that starts what lies there."""

    def __init__(self, cluster: Cluster) -> None:
        self.name = cluster.name
        self.kind = cluster.settings.kind
        self.capabilities = cluster.engine.capabilities | {Capability.ARRAYS}
        self.options = cluster.engine.Options
        self.queue: int = cluster.settings.queued
        self.options = cluster.engine.Options
        self.cluster = cluster

    async def submit(self, task: RunTask) -> None:
        """Put the attempt into the table, and wait a moment for a refusal."""
        unit, bell = self.cluster.unit, self.cluster.bell
        with bell.expecting(task.workload_id, task.attempt) as answer:
            async with unit.begin(workload_context(task.workload_id)) as work:
                if not await store.add(work.connection, self.name, task, now()):
                    _raise_if_refused(await store.find(work.connection, task.workload_id, task.attempt))
                    return
            await self._ring(self.cluster.bell.there_is_work)
            if task.bundle is not None:
                return  # many are handed over together; of a refusal its array hears
            with suppress(TimeoutError):
                error = await asyncio.wait_for(asyncio.shield(answer), _PATIENCE)
                if error is not None:
                    raise error

    async def _ring(self, words: bytes) -> None:
        """Tell the keeper, which may be in another process; who was not told looks by itself."""
        self.cluster.bell.work.set()
        with suppress(ShunterError), translated("NATS"):
            await self.cluster.bus.connection.publish(work_subject(self.name), words)

    async def observe(self, job: NativeJob) -> Observation | None:
        """Look into the table; what it lacks, as it was restored, is looked up on the cluster by its name."""
        row = await self._find(job)
        if row is None:
            return Observation.RUNNING if await self._is_there(job) else None
        lost = row["state"] == AttemptState.ENDED and row["ending"] == Reason.LOST
        return None if lost else _SEEN[AttemptState(row["state"])]

    async def _find(self, job: NativeJob) -> Record | None:
        async with self.cluster.unit.looking_up() as connection:
            return await store.find(connection, job.workload_id, job.attempt)

    async def _is_there(self, job: NativeJob) -> bool:
        named = [read_name(name) for name in await self.cluster.glance()]
        return any(one and (one.workload_id, one.attempt) == (job.workload_id, job.attempt) for one in named)

    def portions(self, task: RunTask) -> Portions:
        """Return bundles that are packs where tasks are small, else native jobs of one task each."""
        pack = self.cluster.settings.pack
        if pack is not None and is_small(task, pack):
            return Portions(window=min(_PACKS, self.queue), largest=pack.most)
        return Portions(window=min(_SINGLES, self.queue), largest=1)

    async def sight(self, job: NativeJob) -> Sighting | None:
        """Return what the cluster last said of an attempt's native job."""
        async with self.cluster.unit.looking_up() as connection:
            row = await store.find(connection, job.workload_id, job.attempt)
            native = await store.find_native(connection, row["native"]) if row and row["native"] else None
        if native is None:
            return None
        return Sighting(
            name=native["name"],
            native_id=native["native_id"],
            state=native["seen"],
            reason=native["reason"] or native["error"],
            node=native["node"],
        )

    # --- to its end ---------------------------------------------------------------------------------------------

    async def cancel(self, job: NativeJob, tasks: str | None = None) -> Cancelled:
        """Take it out of the table, or have its pilot or its whole native job end it; gone is what was seen gone."""
        async with self.cluster.unit.begin(workload_context(job.workload_id)) as work:
            row = await store.find(work.connection, job.workload_id, job.attempt, to_change=True)
            if row is not None:
                if tasks is not None and row["state"] == AttemptState.GIVEN:
                    part = str(Ranges.parse(tasks) | Ranges.parse(row["part"])) if row["part"] else tasks
                    await store.change(work.connection, row["number"], AttemptState.GIVEN, part=part)
                    work.on_end.add(self.cluster.bell.telling.set)
                    return Cancelled.ENDING
                outcome = await _wish(work.connection, job, row)
        if row is None:
            return Cancelled.ENDING if await self._is_there(job) else Cancelled.GONE
        if outcome is Cancelled.ENDING:
            self.cluster.bell.wishes.set()
            self.cluster.bell.telling.set()
            await self._ring(self.cluster.bell.there_is_a_wish)
            if row["state"] == AttemptState.PLACED and not row["task"].get("bundle"):
                return await self._until_gone(job)
        return outcome

    async def _until_gone(self, job: NativeJob) -> Cancelled:
        """Wait a moment for the native job of an attempt that no pilot has to be seen gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while (row := await self._find(job)) is not None:
                    if row["state"] == AttemptState.ENDED:
                        return Cancelled.GONE if row["ending"] in _SILENT else Cancelled.ENDING
                    await asyncio.sleep(_GLANCE)
        return Cancelled.ENDING

    async def take_back(self, job: NativeJob) -> Cancelled | None:
        """End an attempt that no pilot has; it is seen gone before another backend may have it."""
        row = await self._find(job)
        return None if row is not None and row["state"] == AttemptState.GIVEN else await self.cancel(job)

    async def note_end(self, connection: AsyncConnection, job: NativeJob, reason: Reason) -> bool:
        """Note that the pilot of an attempt said its last word; why it was interrupted, only the cluster knows."""
        if reason is Reason.INTERRUPTED:
            row = await store.find(connection, job.workload_id, job.attempt)
            if row is not None and _is_unexplained(row):
                self.cluster.bell.wishes.set()
                return True
        await store.end(connection, job.workload_id, job.attempt, reason, now())
        return False

    async def capacity(self) -> Capacity:
        """Ask the cluster."""
        engine = await self.cluster.opened()
        return await engine.capacity()


def _is_unexplained(row: Record) -> bool:
    """Say whether a single job was ended by nobody of ours: by an admin, or by what befell its node."""
    return row["state"] == AttemptState.GIVEN and not row["ending"] and not row["task"].get("bundle")


async def _wish(connection: AsyncConnection, job: NativeJob, row: Record) -> Cancelled:
    """Write down that an attempt is to end."""
    moment, reason = now(), (await _why(connection, job)).value
    match AttemptState(row["state"]):
        case AttemptState.WAITING:
            values = {"state": AttemptState.ENDED.value, "ending": reason, "ended_at": moment}
            await store.change(connection, row["number"], AttemptState.WAITING, **values)
            return Cancelled.GONE
        case AttemptState.ENDED:
            return Cancelled.GONE if row["ending"] in _SILENT else Cancelled.ENDING
        case state:
            values = {"ending": row["ending"] or reason, "ending_at": row["ending_at"] or moment}
            await store.change(connection, row["number"], state, **values)
            await jobs.stop_if_unwanted(connection, row["native"], moment)
            return Cancelled.ENDING


_SILENT = {Reason.CANCELED.value, Reason.LOST.value, Reason.REFUSED.value}
"""Ends after which nothing is on the way that a workflow has not heard."""


async def _why(connection: AsyncConnection, job: NativeJob) -> Reason:
    """Say why an attempt is to be ended: somebody wished it, or it ran too long."""
    row = await find_workload(connection, job.workload_id)
    if row is not None and row["tasks"] is not None:
        return Reason.CANCELED  # its pilot watches over how long the tasks of a bundle run
    wished = row is None or row["cancel_requested"] or row["attempt"] != job.attempt or row["started_at"] is None
    return Reason.CANCELED if wished else Reason.WALLTIME


def _raise_if_refused(row: Record | None) -> None:
    if row is not None and row["state"] == AttemptState.ENDED and row["ending"] == Reason.REFUSED:
        raise RefusedError(row["message"])

"""Takes native jobs up again that a restored table does not know, but whose attempts are under way."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from contracts.model import now
from contracts.runs import RunTask, RunTicket
from contracts.states import WorkloadState
from services.chassis.tickets import Tickets
from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.backends.engines.base import Seen
from services.scheduler.context import workload_context
from services.scheduler.records import Record
from services.scheduler.store import find as find_workload
from services.scheduler.tasks import make_task, ticket_of

from . import jobs, store
from .cluster import Cluster
from .packing import shape_of
from .words import AttemptState, JobState, Named, read_name

__all__ = ["Adopter"]

_UNDER_WAY = frozenset({WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING})

log = structlog.get_logger(__name__)


class Adopter:
    """Knows by the name of a native job what it runs. Of a pack it does not: its attempts count as lost."""

    def __init__(self, cluster: Cluster, desk: ArrayDesk, tickets: Tickets[RunTicket]) -> None:
        self._cluster = cluster
        self._desk = desk
        self._tickets = tickets

    async def adopt(self, strange: Sequence[Seen]) -> set[str]:
        """Write rows for those whose attempts are under way; returns their names."""
        return {one.name for one in strange if await self._adopt(one)}

    async def _adopt(self, one: Seen) -> bool:
        named = read_name(one.name)
        if named is None or named.is_pack:
            return False
        async with self._cluster.unit.looking_up() as connection:
            row = await find_workload(connection, named.workload_id)
            known = await store.find(connection, named.workload_id, named.attempt)
        if row is None or row["state"] not in _UNDER_WAY or known is not None:
            return False
        task = await self._task(row, named)
        if task is None:
            return False
        await self._write(one, task, WorkloadState(row["state"]))
        log.warning("native.adopted", native=one.name, backend=self._cluster.name, workload=task.workload_id)
        return True

    async def _task(self, row: Record, named: Named) -> RunTask | None:
        if row["tasks"] is not None:
            return await self._desk.message(row, named.attempt, self._cluster.name)
        if row["attempt"] != named.attempt or row["backend"] != self._cluster.name:
            return None
        return make_task(row, ticket=self._tickets.issue(ticket_of(row, named.attempt)))

    async def _write(self, one: Seen, task: RunTask, state: WorkloadState) -> None:
        moment, shape = now(), shape_of([task], self._cluster.settings)
        begun = state is not WorkloadState.QUEUED
        native = {
            "name": one.name,
            "backend": self._cluster.name,
            "owner": task.owner,
            "project": task.project or "",
            "size": 1,
            "slots": shape.slots,
            "cpus": shape.cpus,
            "memory": shape.memory or 0,
            "gpus": shape.gpus,
            "walltime": shape.walltime,
            "state": JobState.STARTED.value,
            "native_id": one.native_id,
            "seen": one.state.value,
            "reason": one.reason,
            "node": one.node,
            "tries": 0,
            "error": "",
            "created_at": moment,
            "started_at": moment,
        }
        async with self._cluster.unit.begin(workload_context(task.workload_id)) as work:
            await jobs.add(work.connection, [native])
            await store.add(work.connection, self._cluster.name, task, moment)
            row = await store.find(work.connection, task.workload_id, task.attempt)
            assert row is not None
            values = {"state": AttemptState.GIVEN.value, "given_at": moment} if begun else {}
            values |= {"native": one.name}
            values.setdefault("state", AttemptState.PLACED.value)
            await store.change(work.connection, row["number"], AttemptState.WAITING, **values)

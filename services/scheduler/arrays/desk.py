"""Hands the tasks of arrays to backends and takes them back. Each call looks at the tables: it may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.errors import InternalError
from contracts.holdings import Allocation
from contracts.model import now
from contracts.ranges import Ranges
from contracts.runs import RunTask, RunTicket, run_name
from contracts.states import Reason, WorkloadState, may_move
from contracts.tasks import TaskGroup, TaskState
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.backends.base import Cancelled, NativeJob, Portions
from services.scheduler.backends.registry import Backends
from services.scheduler.context import workload_context
from services.scheduler.journey import Journey
from services.scheduler.records import Record
from services.scheduler.store import find, open_journey
from services.scheduler.tasks import make_task

from . import store
from .bundling import array_of, room_for
from .closing import close_bundle
from .handing import make_bundle, withdraw
from .keeping import Keeping
from .packing import Packing
from .tally import Tally

__all__ = ["ArrayDesk", "Ended", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How an array stands after what could be handed out was."""

    over: bool
    """Nothing is under way, and nothing will be handed out any more."""
    pause: float | None = None
    """Seconds until another task may be handed out, if nothing else happens before."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an array ended."""

    state: WorkloadState
    reason: Reason
    message: str


class ArrayDesk:
    """What the workflow of an array, or whoever gives it room, has done."""

    def __init__(self, *, unit: UnitOfWork, backends: Backends, tickets: Tickets[RunTicket]) -> None:
        self._unit = unit
        self._backends = backends
        self._packing = Packing(keeping=Keeping(), tickets=tickets)

    # --- out ----------------------------------------------------------------------------------------------------

    async def hand_out(self, workload_id: str) -> Standing:
        """Hand out as many tasks as may go now."""
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            if not journey.row["cancel_requested"]:
                backend = self._backends.require(journey.row["backend"])
                await _make_bundles(work, journey, backend.portions(make_task(journey.row, ticket="")))
                await journey.save()
            row = dict(journey.row)
        await self._send(row)
        async with self._unit.reading() as connection:
            under_way = await store.open_bundles(connection, workload_id)
            due = None if row["cancel_requested"] else await store.next_due(connection, workload_id)
        pending = 0 if row["cancel_requested"] else row["tasks"]["pending"]
        return Standing(over=not under_way and not pending, pause=None if due is None else _seconds_until(due))

    async def _send(self, row: Record) -> None:
        async with self._unit.reading() as connection:
            unsent = [bundle for bundle in await store.open_bundles(connection, row["id"]) if not bundle["sent"]]
            messages = [await self._packing.task(connection, row, bundle) for bundle in unsent]
        for bundle, message in zip(unsent, messages, strict=True):
            await self._backends.require(bundle["backend"]).submit(message)
        if unsent:
            async with self._unit.begin(workload_context(row["id"])) as work:
                for bundle in unsent:
                    await store.change_bundle(work.connection, row["id"], bundle["bundle"], sent=True, seen_at=now())

    async def message(self, row: Record, number: int) -> RunTask | None:
        """Return once more what a backend was told of a bundle; None if that is over."""
        async with self._unit.reading() as connection:
            bundle = await store.find_bundle(connection, row["id"], number)
            return None if bundle is None else await self._packing.task(connection, row, bundle)

    # --- back ---------------------------------------------------------------------------------------------------

    async def recall(self, workload_id: str, tasks: str | None) -> None:
        """Have some tasks ended, or all; what the backend has forgotten is closed, of the rest a report will come."""
        async with self._unit.reading() as connection:
            row = await find(connection, workload_id)
            under_way = await store.open_bundles(connection, workload_id)
        wanted = None if tasks is None else Ranges.parse(tasks)
        for bundle in under_way if row else ():
            part = None if wanted is None else wanted & Ranges.parse(bundle["indices"])
            if part is None or part.runs:
                await self._recall(workload_id, bundle, None if part is None else str(part))

    async def _recall(self, workload_id: str, bundle: Any, tasks: str | None) -> None:
        backend = self._backends.require(bundle["backend"])
        job = NativeJob(workload_id, bundle["bundle"], run_name(workload_id, bundle["bundle"]))
        if await backend.cancel(job, tasks) is Cancelled.GONE:
            await self.close(workload_id, bundle["bundle"], Reason.CANCELED, "taken back before a runner had it")

    async def close(self, workload_id: str, bundle: int, reason: Reason, message: str) -> bool:
        """Close a bundle of which no report will come; its tasks wait for another, unless they are to end."""
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            found = await store.find_bundle(work.connection, workload_id, bundle)
            if found is None or journey.state.is_terminal:
                return False
            tally = Tally(work, journey)
            facts = await close_bundle(work.connection, journey.row, found, tally, reason=reason, message=message)
            if facts:
                room = Allocation.model_validate(found["allocation"]) if found["allocation"] else None
                tally.tell(facts=facts, bundle=bundle, allocation=room)
            await journey.save()
            return True

    # --- end ----------------------------------------------------------------------------------------------------

    async def conclude(self, workload_id: str) -> Ended:
        """Say how an array ended, of which nothing is under way any more; tasks that never began are canceled."""
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            if journey.row["tasks"]["pending"]:
                await _cancel_pending(work, journey)
            if may_move(journey.state, WorkloadState.FINISHING):
                journey.move(WorkloadState.FINISHING, at=now(), reason=Reason.EXITED)
            await journey.save()
            return _ending(journey.row)


async def _open(work: Work, workload_id: str) -> Journey:
    journey = await open_journey(work, workload_id)
    if journey is None or journey.row["tasks"] is None:
        raise InternalError(f"{workload_id} is no array in the table")
    return journey


def _seconds_until(moment: datetime) -> float:
    return max(0.05, (moment - now()).total_seconds())


async def _make_bundles(work: Work, journey: Journey, portions: Portions) -> None:
    """Choose tasks, note them as queued, and the bundles that hold them."""
    row, connection = journey.row, work.connection
    if journey.state.is_terminal or not row["tasks"]["pending"]:
        return
    spec, kept = array_of(row), await store.find_array(connection, row["id"])
    numbers = spec.tasks
    under_way = await store.open_bundles(connection, row["id"])
    room = room_for(spec, numbers, [bundle["share"] for bundle in under_way], portions)
    due = await store.due_tasks(connection, row["id"], now(), room.tasks)
    withdrawn = Ranges.parse(kept["withdrawn"]) if kept["withdrawn"] else Ranges(())
    position, fresh = _fresh(numbers, kept["position"], withdrawn, room.tasks - len(due))
    chosen = [*due, *({"workload_id": row["id"], "index": index} for index in fresh)]
    number, groups = kept["bundle"], []
    for size, share in zip(room.sizes, room.shares, strict=True):
        part, chosen = chosen[:size], chosen[size:]
        if not part:
            break
        number += 1
        groups.append(
            TaskGroup(indices=await make_bundle(work.connection, row, number, share, part), state=TaskState.QUEUED)
        )
    await store.change_array(connection, row["id"], position=position, bundle=number)
    if groups:
        tally = Tally(work, journey)
        tally.move(TaskState.PENDING, TaskState.QUEUED, len(due) + len(fresh))
        tally.tell(groups=groups)


def _fresh(numbers: Ranges, position: int, withdrawn: Ranges, limit: int) -> tuple[int, list[int]]:
    """Return the next tasks that never had their turn, and the place behind the last of them."""
    found: list[int] = []
    total = len(numbers)
    while position < total and len(found) < limit:
        step = numbers.slice(position, position + limit - len(found))
        found += [index for index in step if index not in withdrawn] if withdrawn.runs else step
        position += len(step)
    return position, found


async def _cancel_pending(work: Work, journey: Journey) -> None:
    """Cancel what waits: tasks that never had their turn, and those that would have had another attempt."""
    groups = await withdraw(work.connection, journey.row, None, now())
    tally = Tally(work, journey)
    tally.move(TaskState.PENDING, TaskState.CANCELED, sum(group.size for group in groups))
    tally.tell(groups=groups)


def _ending(row: Record) -> Ended:
    counts = row["tasks"]
    told = [f"{counts[name]} {name}" for name in ("failed", "lost", "canceled") if counts[name]]
    message = f"{', '.join(told)} of {counts['total']} tasks" if told else ""
    if counts["succeeded"] == counts["total"]:
        return Ended(WorkloadState.SUCCEEDED, Reason.EXITED, "")
    if row["cancel_requested"] or counts["canceled"] == counts["total"]:
        return Ended(WorkloadState.CANCELED, Reason.CANCELED, message)
    reason = Reason.EXITED if counts["failed"] else Reason.LOST if counts["lost"] else Reason.CANCELED
    return Ended(WorkloadState.FAILED, reason, message)

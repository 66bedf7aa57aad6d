"""Hands the tasks of arrays to backends and takes them back. Each call looks at the tables: it may be repeated."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from contracts.errors import InternalError, RefusedError, UnavailableError
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
from services.scheduler.placing.placer import Placer
from services.scheduler.records import Record
from services.scheduler.store import find, open_journey
from services.scheduler.tasks import make_task

from . import store
from .bundling import array_of, room_for
from .closing import close_bundle
from .handing import make_bundle, withdraw
from .keeping import Keeping
from .packing import Packing
from .places import Places
from .tally import Tally

__all__ = ["ArrayDesk", "Ended", "Standing"]

_AT_ONCE = 0.05
"""Seconds after which is looked again, where something happened meanwhile that nobody else tells."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an array stands after what could be handed out was."""

    over: bool
    """Nothing is under way, and nothing will be handed out any more."""
    pause: float | None = None
    """Seconds until another task may be handed out, if nothing else happens before."""
    backend: str | None = None
    """Where its tasks go at present."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How an array ended."""

    state: WorkloadState
    reason: Reason
    message: str


class ArrayDesk:
    """What the workflow of an array, or whoever gives it room, has done."""

    def __init__(
        self, *, unit: UnitOfWork, backends: Backends, tickets: Tickets[RunTicket], placer: Placer | None = None
    ) -> None:
        self._unit = unit
        self._backends = backends
        self._places = Places(unit=unit, backends=backends, placer=placer or Placer(backends))
        self._packing = Packing(keeping=Keeping(), tickets=tickets)

    # --- out ----------------------------------------------------------------------------------------------------

    async def hand_out(self, workload_id: str) -> Standing:
        """Hand out as many tasks as may go now."""
        outlook = await self._places.look(workload_id)
        for bundle in outlook.leaving:
            await self._take_back(workload_id, bundle)
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            if outlook.takes and not journey.row["cancel_requested"]:
                backend = self._backends.require(journey.row["backend"])
                await _make_bundles(work, journey, backend.portions(make_task(journey.row, ticket="")))
                await journey.save()
            row = dict(journey.row)
        return await self._standing(workload_id, outlook.patience, [await self._send(row), outlook.pause])

    async def _standing(self, workload_id: str, patience: float | None, pauses: list[float | None]) -> Standing:
        """Say how an array stands now: what was handed out a moment ago may have ended."""
        async with self._unit.reading() as connection:
            # In this order: the tasks of a bundle that is not under way any more have ended, or are counted as pending.
            under_way = await store.open_bundles(connection, workload_id)
            row = await find(connection, workload_id)
            if row is None:
                raise InternalError(f"{workload_id} is not in the table")
            due = None if row["cancel_requested"] else await store.next_due(connection, workload_id)
        pending = 0 if row["cancel_requested"] else row["tasks"]["pending"]
        if any(bundle["allocation"] is None for bundle in under_way):
            pauses.append(patience)
        pauses.append(None if due is None else _seconds_until(due))
        pause = min((one for one in pauses if one is not None), default=None)
        return Standing(over=not under_way and not pending, pause=pause, backend=row["backend"])

    async def _send(self, row: Record) -> float | None:
        """Hand bundles over; returns after how many seconds to look again, if some were refused."""
        async with self._unit.reading() as connection:
            unsent = [bundle for bundle in await store.open_bundles(connection, row["id"]) if not bundle["sent"]]
            messages = [await self._packing.task(connection, row, bundle) for bundle in unsent]
        refused: dict[int, str] = {}
        for bundle, message in zip(unsent, messages, strict=True):
            try:
                await self._backends.require(bundle["backend"]).submit(message)
            except RefusedError as refusal:
                refused[bundle["bundle"]] = refusal.detail
        if unsent:
            moment = now()
            values = {"sent": True, "seen_at": moment, "handed_at": moment}
            async with self._unit.begin(workload_context(row["id"])) as work:
                for bundle in unsent:
                    await store.change_bundle(work.connection, row["id"], bundle["bundle"], **values)
        for number, why in refused.items():
            await self.close(row["id"], number, Reason.REFUSED, why)
        return _AT_ONCE if refused else None

    async def message(self, row: Record, number: int, backend: str) -> RunTask | None:
        """Return once more what a backend was told of a bundle; None if that is over, or another one has it."""
        async with self._unit.reading() as connection:
            bundle = await store.find_bundle(connection, row["id"], number)
            if bundle is None or bundle["backend"] != backend:
                return None
            return await self._packing.task(connection, row, bundle)

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

    async def _take_back(self, workload_id: str, bundle: Any) -> None:
        """Have a bundle end that was not begun; its tasks go elsewhere only when it is seen gone."""
        number = bundle["bundle"]
        try:
            backend = self._backends.require(bundle["backend"])
            outcome = await backend.take_back(NativeJob(workload_id, number, run_name(workload_id, number)))
        except UnavailableError as error:  # it is asked again
            log.warning("array.not_taken_back", workload=workload_id, bundle=number, detail=error.detail)
            return
        if outcome is Cancelled.GONE:
            await self.close(workload_id, number, Reason.CANCELED, f"{backend.name} did not begin with it")
        elif outcome is None:
            async with self._unit.begin(workload_context(workload_id)) as work:
                await store.change_bundle(work.connection, workload_id, number, leaving=False)

    async def close(self, workload_id: str, bundle: int, reason: Reason, message: str) -> bool:
        """Close a bundle of which no report will come; its tasks wait for another, unless they are to end."""
        if reason is Reason.REFUSED:
            await self._places.turn_away(workload_id, bundle)
        async with self._unit.begin(workload_context(workload_id)) as work:
            journey = await _open(work, workload_id)
            found = await store.find_bundle(work.connection, workload_id, bundle)
            if found is None or journey.state.is_terminal:
                return False
            tally = Tally(work, journey)
            told = await close_bundle(work.connection, journey.row, found, tally, reason=reason, message=message)
            if told.facts or told.groups:
                room = Allocation.model_validate(found["allocation"]) if found["allocation"] else None
                tally.tell(facts=told.facts, groups=told.groups, bundle=bundle, allocation=room)
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
    return max(_AT_ONCE, (moment - now()).total_seconds())


async def _make_bundles(work: Work, journey: Journey, portions: Portions) -> None:
    """Choose tasks, note them as queued, and the bundles that hold them."""
    row, connection = journey.row, work.connection
    if journey.state.is_terminal or not row["tasks"]["pending"]:
        return
    spec, kept = array_of(row), await store.find_array(connection, row["id"])
    numbers = spec.tasks
    under_way = await store.open_bundles(connection, row["id"])
    elsewhere = sum(1 for bundle in under_way if bundle["backend"] != row["backend"])
    room = room_for(spec, numbers, [bundle["share"] for bundle in under_way], portions, elsewhere)
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

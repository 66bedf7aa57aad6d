"""What a job's workflow has done for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from temporalio import activity

from contracts.errors import InternalError, RefusedError, ShunterError
from contracts.model import now
from contracts.runs import FrozenInput, RunTask, RunTicket
from contracts.states import HOLDS_ROOM, Reason, WorkloadState, may_move
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.base import Backend, Cancelled, NativeJob
from services.scheduler.backends.registry import Backends
from services.scheduler.context import workload_context
from services.scheduler.journey import Journey
from services.scheduler.placing.placer import NoTakerError, Placer
from services.scheduler.records import Record, inputs_of, to_workload
from services.scheduler.store import find, open_journey
from services.scheduler.tasks import make_task, ticket_of
from services.scheduler.vigils import Vigils
from services.scheduler.workflows.calls import JobCalls
from services.scheduler.workflows.words import AttemptRef, Ending, Move, Submitted, Withdrawal, Withdrawn

from .errors import translated_for_temporal

__all__ = ["JobActivities"]

FreezeRest = Callable[[Record], Awaitable[list[FrozenInput]]]

log = structlog.get_logger(__name__)

_WITHDRAWN = {
    None: Withdrawal.BEGUN,
    Cancelled.GONE: Withdrawal.GONE,
    Cancelled.ENDING: Withdrawal.ENDING,
}

_ASK_AGAIN = 10.0
"""Seconds after which is looked again for a backend, where all that could hold a job are draining."""

_RECORDED = frozenset({WorkloadState.QUEUED, WorkloadState.STARTING, WorkloadState.RUNNING, WorkloadState.FINISHING})
"""How far an attempt that was recorded may have come."""


class JobActivities(JobCalls):
    """The activities of jobs."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        backends: Backends,
        placer: Placer,
        tickets: Tickets[RunTicket],
        freeze_rest: FreezeRest,
        vigils: Vigils,
    ) -> None:
        self._unit = unit
        self._freeze_rest = freeze_rest
        self._backends = backends
        self._placer = placer
        self._tickets = tickets
        self._vigils = vigils

    @activity.defn
    @translated_for_temporal
    async def submit_attempt(self, ref: AttemptRef) -> Submitted:
        """Choose a backend, record the attempt as queued, hand it over, and wait a moment for its end."""
        row = await self._row(ref.workload_id)
        if (state := WorkloadState(row["state"])).is_terminal:
            return Submitted(backend=row["backend"], message=row["message"], over=state)
        return await (self._go_on(row, ref) if _is_recorded(row, ref) else self._place(row, ref))

    async def _go_on(self, row: Record, ref: AttemptRef) -> Submitted:
        """Hand an attempt over that is recorded, unless another try of this got further than it knew."""
        if row["attempt"] == ref.attempt and row["state"] == WorkloadState.QUEUED:
            return await self._hand_over(row, self._backends.require(row["backend"]), ref)
        return await self._submitted(row, ref)

    async def _place(self, row: Record, ref: AttemptRef) -> Submitted:
        """Choose a backend for an attempt that is new, and hand it over there."""
        try:
            if row["spec"].get("after") and row["spec"]["inputs"]:
                row["inputs"] = [item.model_dump(mode="json") for item in await self._freeze_rest(row)]
            backend = await self._choose(row, ref)
        except NoTakerError as nobody:
            return Submitted(backend=None, message=nobody.detail, later=_ASK_AGAIN)
        except RefusedError as refusal:
            return Submitted(backend=None, message=refusal.detail)
        if backend is None:
            return Submitted(backend=None, message=ref.message)
        return await self._go_on(await self._queue(ref, backend, row["inputs"]), ref)

    async def _choose(self, row: Record, ref: AttemptRef) -> Backend | None:
        """Return where an attempt goes; None if all that could hold it have refused it."""
        # A backend that was configured away since it was chosen is none, nor is one that is being drained.
        if ref.backend and self._backends.takes_work(ref.backend):
            return self._backends.require(ref.backend)
        spec, inputs = to_workload(row).spec, inputs_of(row)
        return await self._placer.choose(spec, inputs, tried=ref.tried, refused=ref.refused)

    async def _hand_over(self, row: Record, backend: Backend, ref: AttemptRef) -> Submitted:
        """Hand an attempt over that is recorded; where a short job may end at once, wait a moment for that."""
        if row["tasks"] is not None:  # the tasks of an array are handed out by calls of their own
            return await self._submitted(row, ref)
        try:
            if not backend.is_prompt:
                await backend.submit(self._task(row))
                return await self._submitted(row, ref)
            with self._vigils.keeping(ref.workload_id) as vigil:
                await backend.submit(self._task(row))
                if end := await vigil.wait():
                    return (await self._submitted(row, ref)).model_copy(update={"end": end})
        except RefusedError as refusal:
            log.warning("attempt.refused", workload=ref.workload_id, backend=backend.name, detail=refusal.detail)
            refused = {"refused": True, "message": refusal.detail}
            return (await self._submitted(row, ref)).model_copy(update=refused)
        # Its end may have been committed by a database that died before it said so.
        row = await self._row(ref.workload_id)
        state = WorkloadState(row["state"])
        over = {"over": state, "message": row["message"]} if state.is_terminal else {}
        return (await self._submitted(row, ref)).model_copy(update=over)

    async def _submitted(self, row: Record, ref: AttemptRef) -> Submitted:
        """Say where an attempt is, how long it may lie there, and whether it could go elsewhere."""
        name = row["backend"]
        backend, others, patience = self._backends.get(name), [], None
        if row["tasks"] is None and len(self._backends.names) > 1:
            spec = to_workload(row).spec
            others = await self._placer.others(spec, name, inputs_of(row), not_on=ref.refused)
            patience = self._placer.patience(spec, ref.tried.count(name)) if others else None
        return Submitted(
            backend=name,
            patience=patience,
            lost_attempts=backend.lost_attempts if backend else None,
            others=bool(others),
        )

    async def _queue(self, ref: AttemptRef, backend: Backend, inputs: list[dict[str, Any]]) -> Record:
        """Record the attempt before it is handed over: its native name is known already, so nothing can get lost."""
        async with self._unit.begin(workload_context(ref.workload_id)) as work:
            journey = _present(await open_journey(work, ref.workload_id), ref.workload_id)
            if _is_recorded(journey.row, ref):  # another try of this, in another scheduler, was faster
                return journey.row
            if journey.state in HOLDS_ROOM:
                # The runner said nothing of the end: what the lost attempt held is given back under its own number.
                journey.move(WorkloadState.FINISHING, at=now(), reason=Reason.LOST, message=ref.message)
            journey.note(inputs=inputs)
            journey.move(
                WorkloadState.QUEUED,
                at=now(),
                reason=Reason.RETRY if ref.attempt > 1 else Reason.PLACED,
                message=ref.message,
                attempt=ref.attempt,
                backend=backend.name,
                native_id=f"{ref.workload_id}.{ref.attempt}",
            )
            await journey.save()
            return journey.row

    def _task(self, row: Record) -> RunTask:
        return make_task(row, ticket=self._tickets.issue(ticket_of(row, row["attempt"])))

    @activity.defn
    @translated_for_temporal
    async def cancel_attempt(self, ref: AttemptRef) -> Ending:
        """Ask the backend to end an attempt."""
        row = await self._row(ref.workload_id)
        backend = self._backends.require(row["backend"])
        native = NativeJob(ref.workload_id, ref.attempt, row["native_id"] or "")
        return Ending(gone=await backend.cancel(native) is Cancelled.GONE)

    @activity.defn
    @translated_for_temporal
    async def look_up_attempt(self, ref: AttemptRef) -> Ending:
        """Say whether the backend has forgotten an attempt that was handed over; where nobody can say, it has not."""
        row = await self._row(ref.workload_id)
        native = NativeJob(ref.workload_id, ref.attempt, row["native_id"] or "")
        try:
            gone = await self._backends.require(row["backend"]).observe(native) is None
        except ShunterError as error:
            # The watch will doubt it again.
            log.warning("attempt.not_looked_up", workload=ref.workload_id, attempt=ref.attempt, detail=error.detail)
            return Ending(gone=False)
        log.warning("attempt.lost" if gone else "attempt.found", workload=ref.workload_id, attempt=ref.attempt)
        return Ending(gone=gone)

    @activity.defn
    @translated_for_temporal
    async def withdraw_attempt(self, ref: AttemptRef) -> Withdrawn:
        """Take an attempt back that was not begun, if another backend would have it."""
        row = await self._row(ref.workload_id)
        if row["attempt"] != ref.attempt or row["state"] != WorkloadState.QUEUED:
            return Withdrawn(outcome=Withdrawal.BEGUN)
        backend = self._backends.require(row["backend"])
        if await self._elsewhere(row, ref) is None:
            return Withdrawn(outcome=Withdrawal.STAYS)
        native = NativeJob(ref.workload_id, ref.attempt, row["native_id"] or "")
        return Withdrawn(outcome=_WITHDRAWN[await backend.take_back(native)])

    async def _elsewhere(self, row: Record, ref: AttemptRef) -> Backend | None:
        try:
            return await self._placer.next_after(
                to_workload(row).spec, row["backend"], inputs_of(row), tried=ref.tried, refused=ref.refused
            )
        except RefusedError:  # what could hold it when it came is gone
            return None

    @activity.defn
    @translated_for_temporal
    async def move(self, move: Move) -> None:
        """Record a move of the workload, unless it stands there already."""
        async with self._unit.begin(workload_context(move.workload_id)) as work:
            journey = _present(await open_journey(work, move.workload_id), move.workload_id)
            if journey.state is move.state or not may_move(journey.state, move.state):
                return
            journey.move(move.state, at=now(), reason=move.reason, message=move.message, exit_code=move.exit_code)
            await journey.save()

    async def _row(self, workload_id: str) -> Record:
        async with self._unit.looking_up() as connection:
            row = await find(connection, workload_id)
        if row is None:
            raise InternalError(f"{workload_id} is not in the table")
        return row


def _is_recorded(row: Record, ref: AttemptRef) -> bool:
    """Say whether an earlier try wrote the attempt down, or a later one of the workload."""
    return bool(row["attempt"] > ref.attempt or (row["attempt"] == ref.attempt and row["state"] in _RECORDED))


def _present(journey: Journey | None, workload_id: str) -> Journey:
    if journey is None:
        raise InternalError(f"{workload_id} is not in the table")
    return journey

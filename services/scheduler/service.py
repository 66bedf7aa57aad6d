"""What users ask of the scheduler: submit, hold, start, cancel, retry, look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import (
    CancelWorkload,
    HoldWorkload,
    RemoveWorkload,
    RetryWorkload,
    StartWorkload,
    SubmitWorkload,
)
from contracts.errors import ConflictError, ForbiddenError, InvalidError, MismatchError, NotFoundError, RefusedError
from contracts.events import WorkloadCancelRequested
from contracts.glances import GlanceWorkloads
from contracts.model import now
from contracts.principals import Level, Principal
from contracts.queries import FindWorkload, GetHistory, GetWorkload, History, ListWorkloads
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from contracts.states import HOLDS_ROOM, Reason, WorkloadState
from contracts.workloads import Kind, Workload
from services.chassis.answers import Written
from services.chassis.bus import Delivery
from services.chassis.cursors import read_cursor, write_cursor
from services.chassis.gathering import Gathered
from services.chassis.policy import Power, power_over, scope_of
from services.chassis.together import Part, Together
from services.chassis.unit import UnitOfWork, Work

from . import store
from .admission import Admission, Admitted
from .arrays.admitting import require_items
from .arrays.bundling import array_of
from .arrays.keeping import Keeping
from .arrays.steering import cancel_tasks, read_tasks, spec_of_failed
from .arrays.store import find_array
from .arrays.views import ArrayViews
from .entrance import Arrival, Entrance
from .journey import Journey
from .mail.notices import find_notice
from .numbers import find_all_numbered
from .queue.dispatcher import Dispatcher
from .records import Record, to_glance, to_json, to_transition, to_workload
from .removing import remove
from .rights import pass_on, require_on, require_there, shared_words
from .temporal import TEMPORAL_SINK, Signal
from .webhooks.records import callback_of
from .webhooks.store import find_callback
from .workflows.words import Cancellation, Recall

__all__ = ["WorkloadService"]

_K = TypeVar("_K")


class WorkloadService:
    """Lets work in and tells how it stands."""

    def __init__(self, *, unit: UnitOfWork, admission: Admission, dispatcher: Dispatcher) -> None:
        self._unit = unit
        self._admission = admission
        self._dispatcher = dispatcher
        self._entrance = Entrance(dispatcher)
        self._arrivals: Together[Arrival, Record | None] = Together(unit, self._write_down)
        self._keeping = Keeping()
        self._by_id: Gathered[str, Record] = Gathered(partial(self._look, store.find_all))
        self._by_number: Gathered[int, Record] = Gathered(partial(self._look, find_all_numbered))
        self.tasks = ArrayViews(unit=unit, find_visible=self._visible)
        """Answers questions about the tasks of arrays."""

    # --- commands -----------------------------------------------------------------------------------------------

    async def submit(self, command: SubmitWorkload, delivery: Delivery) -> Workload | Written:
        """Let a workload in; the same identifier twice is the same workload, if the request is the same."""
        try:
            if command.spec.array is not None:
                require_items(command.spec.array)
            spec = await self._with_borrowed(command.spec, command.principal)
            admitted = await self._admission.admit(spec, command.principal)
        except RefusedError:
            # It may have come before: what was let in then is let in, though it would be refused now.
            known = await self._find(command.workload_id)
            if known is None:
                raise
            return await self._same(known, command.principal, command.request_hash)
        return await self._let_in(
            delivery,
            Arrival(
                workload_id=command.workload_id,
                principal=command.principal,
                owner=command.principal.subject,
                admitted=admitted,
                kind=command.kind,
                request_hash=command.request_hash,
                schedule_id=command.schedule_id,
            ),
        )

    async def retry(self, command: RetryWorkload, delivery: Delivery) -> Workload | Written:
        """Run an ended workload again, as a new one with the same spec and owner, shared with the same."""
        known = await self._find(command.new_id)
        if known is not None:
            return await self._same(known, command.principal, command.request_hash)
        old = await self._visible(command.principal, command.workload_id, Power.CONTROL)
        if not WorkloadState(old["state"]).is_terminal:
            raise ConflictError(f"{old['id']} is {old['state']}; only what has ended can be retried")
        # What it waited for is over; somebody wants it to run now.
        spec = await self._with_secret(old, to_workload(old).spec)
        spec = spec.model_copy(update={"hold": False, "start_at": None, "after": []})
        owner = await self._owner_of(old)
        return await self._let_in(
            delivery,
            Arrival(
                workload_id=command.new_id,
                principal=owner,
                owner=old["owner"],
                admitted=await self._admit_again(old, spec, owner, command.tasks),
                kind=Kind(old["kind"]),
                request_hash=command.request_hash,
                retry_of=old["id"],
            ),
        )

    async def _owner_of(self, old: Record) -> Principal:
        """Return whose a workload is, with the address that they had when it was submitted."""
        projects = {old["project"]: Level.MEMBER} if old["project"] else {}
        async with self._unit.looking_up() as connection:
            told = await find_notice(connection, old["id"]) if to_workload(old).spec.notify else None
        return Principal(subject=old["owner"], projects=projects, email=told.own if told else None)

    async def _with_secret(self, old: Record, spec: JobSpec) -> JobSpec:
        """Return the spec of a workload with the secret that its record does not hold."""
        if spec.callback is None:
            return spec
        async with self._unit.looking_up() as connection:
            told = await find_callback(connection, old["id"])
        return spec.model_copy(update={"callback": callback_of(told)}) if told else spec

    async def _with_borrowed(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec with the secret of an earlier job of the same owner's that told the same URL."""
        callback = spec.callback
        if callback is None or callback.secret_of is None:
            return spec
        async with self._unit.looking_up() as connection:
            told = await find_callback(connection, callback.secret_of)
        if told is None or told["owner"] != principal.subject or callback_of(told).url != callback.url:
            raise InvalidError.of("callback.secret_of", "must be a job of yours that told the same URL")
        own = callback.model_copy(update={"secret": callback_of(told).secret, "secret_of": None})
        return spec.model_copy(update={"callback": own})

    async def _admit_again(self, old: Record, spec: JobSpec, owner: Principal, tasks: str) -> Admitted:
        if spec.array is None and tasks == "all":
            return await self._admission.admit_again(spec, owner)
        async with self._unit.reading() as connection:
            if tasks == "failed":
                spec = await spec_of_failed(connection, old, spec)
            kept = await find_array(connection, old["id"])
            items = await self._keeping.items(connection, kept)
        return await self._admission.admit_again(spec, owner, items=items, items_of=kept["items_of"])

    async def cancel(self, command: CancelWorkload, delivery: Delivery) -> Workload:
        """Ask for the end of a workload; it is `canceled` once the backend says that nothing is left."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return to_workload(await self._visible(command.principal, command.workload_id))
            journey = await self._journey(work, command.principal, command.workload_id)
            if command.tasks is not None and not journey.state.is_terminal:
                return await _cancel_some(work, journey, command.tasks)
            if journey.state is WorkloadState.CANCELED or journey.row["cancel_requested"]:
                return to_workload(journey.row)
            if journey.state.is_terminal:
                raise ConflictError(f"{command.workload_id} has ended already: {journey.state}")
            message = command.message or f"canceled by {command.principal.subject}"
            await self.request_cancel(work, journey, message)
            return to_workload(journey.row)

    async def remove(self, command: RemoveWorkload, delivery: Delivery) -> Workload:
        """Have a workload gone, at once; what has not ended is ended as well."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return to_workload(await self._known(command.workload_id))
            journey = await self._journey(work, command.principal, command.workload_id, Power.OWN)
            if not journey.state.is_terminal and not journey.row["cancel_requested"]:
                await self.request_cancel(work, journey, f"removed by {command.principal.subject}")
            return to_workload(await remove(work, journey.row))

    async def hold(self, command: HoldWorkload, delivery: Delivery) -> Workload:
        """Keep a workload that waits here from going."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return to_workload(await self._visible(command.principal, command.workload_id))
            journey = await self._journey(work, command.principal, command.workload_id)
            if journey.state is WorkloadState.HELD:
                return to_workload(journey.row)
            if journey.state is not WorkloadState.ACCEPTED or not await self._dispatcher.hold(work, journey.row["id"]):
                raise ConflictError(_why_not_held(journey.row))
            message = command.message or f"held by {command.principal.subject}"
            journey.move(WorkloadState.HELD, at=now(), reason=Reason.HELD, message=message)
            await journey.save()
            return to_workload(journey.row)

    async def start(self, command: StartWorkload, delivery: Delivery) -> Workload:
        """Let a held workload go, as far as nothing else holds it up."""
        inputs = await self._inputs_at_start(command) if command.inputs else None
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return to_workload(await self._visible(command.principal, command.workload_id))
            journey = await self._journey(work, command.principal, command.workload_id)
            if journey.state is not WorkloadState.HELD:
                raise ConflictError(f"{command.workload_id} is not held: {journey.state}")
            if await self._dispatcher.release(work, command.workload_id):
                message = f"released by {command.principal.subject}"
                journey.move(WorkloadState.ACCEPTED, at=now(), reason=Reason.RELEASED, message=message, inputs=inputs)
                await journey.save()
            elif inputs is not None:
                raise ConflictError(f"{command.workload_id} was let in by an older release and takes no more inputs")
            else:  # it was let in by an older release, whose workflows waited themselves
                work.defer(TEMPORAL_SINK, f"signal/{command.workload_id}", Signal(start=True))
            return to_workload(journey.row)

    async def _inputs_at_start(self, command: StartWorkload) -> list[FrozenInput]:
        """Freeze what a start brings, and return all inputs that the workload has then."""
        row = await self._visible(command.principal, command.workload_id, Power.CONTROL)
        if row["owner"] != command.principal.subject:
            raise ForbiddenError("only its owner may give a job more of the owner's files")
        frozen = await self._admission.freeze_more(row, command.inputs)
        if WorkloadState(row["state"]) is not WorkloadState.HELD:
            raise ConflictError(f"{command.workload_id} is not held: {row['state']}")
        return frozen

    # --- queries ------------------------------------------------------------------------------------------------

    async def get(self, query: GetWorkload) -> Written:
        """Return one workload, written."""
        row = await self._by_id(query.workload_id)
        return Written(to_json(await self._shown(row, query.principal, query.workload_id)))

    async def find(self, query: FindWorkload) -> Written:
        """Return the workload of a number, written."""
        row = await self._by_number(query.number)
        return Written(to_json(await self._shown(row, query.principal, f"job {query.number}")))

    async def history(self, query: GetHistory) -> History:
        """Return all moves of a workload."""
        await self._visible(query.principal, query.workload_id)
        async with self._unit.reading() as connection:
            rows = await store.history(connection, query.workload_id)
        return History(workload_id=query.workload_id, transitions=[to_transition(row) for row in rows])

    async def page(self, query: ListWorkloads) -> Written:
        """Return a page of what the principal may see, newest first, written."""
        before = None if query.cursor is None else read_cursor(query.cursor, "w")
        async with self._unit.looking_up() as connection:
            words = await shared_words(connection, query.principal, shared=query.shared)
        async with self._unit.reading() as connection:
            shown, more = await store.page(connection, query, scope_of(query.principal), before, words)
        cursor = write_cursor(shown[-1]["seq"], "w") if more else None
        return Written(orjson.dumps({"items": [orjson.Fragment(to_json(row)) for row in shown], "next_cursor": cursor}))

    async def glance(self, query: GlanceWorkloads) -> Written:
        """Return a page of the little that lists show, newest first, written."""
        before = None if query.cursor is None else read_cursor(query.cursor, "w")
        async with self._unit.reading() as connection:
            words = await shared_words(connection, query.principal)
            shown, last = await store.glance(connection, query, scope_of(query.principal), before, words)
        cursor = write_cursor(last, "w") if last is not None else None
        return Written(
            orjson.dumps({"items": [orjson.Fragment(to_glance(row)) for row in shown], "next_cursor": cursor})
        )

    async def is_over(self, workload_id: str) -> bool:
        """Say whether a workload has ended, or never was."""
        row = await self._find(workload_id)
        return row is None or WorkloadState(row["state"]).is_terminal

    # --- inside -------------------------------------------------------------------------------------------------

    async def _find(self, workload_id: str) -> Record | None:
        async with self._unit.looking_up() as connection:
            return await store.find(connection, workload_id)

    async def _look(
        self, look: Callable[[AsyncConnection, Sequence[_K]], Awaitable[dict[_K, Record]]], keys: Sequence[_K]
    ) -> dict[_K, Record]:
        async with self._unit.looking_up() as connection:
            return await look(connection, keys)

    async def _shown(self, row: Record | None, principal: Principal, name: str) -> Record:
        """Return a row that was looked up for *principal*, or refuse; most may see it without any grant."""
        there = require_there(row, name)
        if power_over(principal, there["owner"], there["project"]) >= Power.READ:
            return there
        async with self._unit.looking_up() as connection:
            return await require_on(connection, there, principal, name)

    async def _known(self, workload_id: str) -> Record:
        found = await self._find(workload_id)
        if found is None:
            raise NotFoundError(f"{workload_id} does not exist")
        return found

    async def _visible(self, principal: Principal, workload_id: str, needed: Power = Power.READ) -> Record:
        async with self._unit.looking_up() as connection:
            row = await store.find(connection, workload_id)
            return await require_on(connection, row, principal, workload_id, needed)

    async def _journey(
        self, work: Work, principal: Principal, workload_id: str, needed: Power = Power.CONTROL
    ) -> Journey:
        journey = await store.open_journey(work, workload_id)
        row = journey.row if journey else None
        await require_on(work.connection, row, principal, workload_id, needed)
        assert journey is not None
        return journey

    async def _same(self, row: Record, principal: Principal, request_hash: str) -> Workload:
        """Return what the first of two equal requests made."""
        async with self._unit.looking_up() as connection:
            await require_on(connection, row, principal, row["id"])
        if request_hash and row["request_hash"] and request_hash != row["request_hash"]:
            raise MismatchError("this Idempotency-Key was used for another request")
        return to_workload(row)

    async def request_cancel(self, work: Work, journey: Journey, message: str) -> None:
        """Ask for the end of a workload that has not ended, inside somebody's transaction."""
        row = journey.row
        journey.note(cancel_requested=True)
        if await self._dispatcher.withdraw(work, row["id"]):
            journey.move(WorkloadState.CANCELED, at=now(), reason=Reason.CANCELED, message=message)
            await journey.save()
            return
        await journey.save()
        work.send(
            WorkloadCancelRequested(
                workload_id=row["id"],
                owner=row["owner"],
                project=row["project"],
                revision=row["revision"],
                message=message,
                at=now(),
            )
        )
        work.defer(TEMPORAL_SINK, f"signal/{row['id']}", Signal(cancel=Cancellation(message=message)))

    async def _write_down(self, parts: Sequence[Part[Arrival]]) -> list[Record | None]:
        """Let in what has come by now and was not let in before; what repeats another one is shared with the same."""
        keyed = [part.item.workload_id for part in parts if part.item.request_hash]
        known = await store.known(parts[0].work.connection, keyed) if keyed else set()
        fresh = [part for part in parts if part.item.workload_id not in known]
        rows = await self._entrance.let_in_messages(fresh) if fresh else []
        for part, row in zip(fresh, rows, strict=True):
            if part.item.retry_of:
                await pass_on(part.work, part.item.retry_of, row)
        by_id = {row["id"]: row for row in rows}
        return [by_id.get(part.item.workload_id) for part in parts]

    async def _let_in(self, delivery: Delivery, arrival: Arrival) -> Workload | Written:
        row = await self._arrivals.do(delivery.message_id, delivery.context, arrival)
        if row is not None:
            return Written(to_json(row))
        known = await self._find(arrival.workload_id)
        if known is None:
            raise ConflictError("a message of this id was handled before, and it was another one")
        return await self._same(known, arrival.principal, arrival.request_hash)


def _why_not_held(row: Record) -> str:
    state = WorkloadState(row["state"])
    if state.is_terminal:
        return f"{row['id']} has ended already: {state}"
    if state in HOLDS_ROOM or state is WorkloadState.FINISHING:
        return f"{row['id']} is {state} already; what runs cannot be held, only canceled"
    return f"{row['id']} was handed to its backend already and starts as soon as there is room; it can be canceled"


async def _cancel_some(work: Work, journey: Journey, tasks: str) -> Workload:
    row = journey.row
    if row["tasks"] is None:
        raise InvalidError.of("tasks", f"{row['id']} is no array")
    ending = await cancel_tasks(work, journey, read_tasks(tasks, array_of(row)))
    if journey.state not in {WorkloadState.ACCEPTED, WorkloadState.HELD}:  # else there is no workflow to tell yet
        work.defer(TEMPORAL_SINK, f"signal/{row['id']}", Signal(recall=Recall(tasks=ending)))
    return to_workload(row)

"""What users ask of the scheduler: submit, cancel, start, retry, look."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import datetime
from typing import Any

from sqlalchemy import insert

from contracts.commands import CancelWorkload, RetryWorkload, StartWorkload, SubmitWorkload
from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError
from contracts.events import WorkloadAccepted, WorkloadCancelRequested
from contracts.model import now
from contracts.principals import Level, Principal
from contracts.queries import GetHistory, GetWorkload, History, ListWorkloads, WorkloadPage
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Kind, Workload
from services.chassis.bus import Delivery
from services.chassis.policy import require_visible, scope_of
from services.chassis.unit import UnitOfWork, Work

from . import store
from .admission import Admission, Admitted
from .arrays.admitting import first_counts, require_items
from .arrays.bundling import array_of
from .arrays.keeping import Keeping, array_row
from .arrays.steering import cancel_tasks, read_tasks, spec_of_failed
from .arrays.store import find_array
from .arrays.views import ArrayViews
from .journey import Journey
from .records import Record, to_transition, to_workload
from .tables import arrays, transitions, workloads
from .temporal import TEMPORAL_SINK, Signal, StartJob
from .workflows.words import Cancellation, JobInput, Recall

__all__ = ["WorkloadService", "new_row"]

_CURSOR = re.compile(r"^w[0-9]{1,18}$")


class WorkloadService:
    """Lets work in and tells how it stands."""

    def __init__(self, *, unit: UnitOfWork, admission: Admission) -> None:
        self._unit = unit
        self._admission = admission
        self._keeping = Keeping()
        self.tasks = ArrayViews(unit=unit, find_visible=self._visible)
        """Answers questions about the tasks of arrays."""

    # --- commands -----------------------------------------------------------------------------------------------

    async def submit(self, command: SubmitWorkload, delivery: Delivery) -> Workload:
        """Let a workload in; the same identifier twice is the same workload, if the request is the same."""
        known = await self._find(command.workload_id)
        if known is not None:
            return _same(known, command.principal, command.request_hash)
        if command.spec.array is not None:
            require_items(command.spec.array)
        admitted = await self._admission.admit(command.spec, command.principal)
        return await self._let_in(
            delivery, command.workload_id, command.principal.subject, admitted, command.kind, command.request_hash
        )

    async def retry(self, command: RetryWorkload, delivery: Delivery) -> Workload:
        """Run an ended workload again, as a new one with the same spec and owner."""
        known = await self._find(command.new_id)
        if known is not None:
            return _same(known, command.principal, command.request_hash)
        old = await self._visible(command.principal, command.workload_id, to_change=True)
        if not WorkloadState(old["state"]).is_terminal:
            raise ConflictError(f"{old['id']} is {old['state']}; only what has ended can be retried")
        spec = to_workload(old).spec.model_copy(update={"hold": False})
        owner = Principal(subject=old["owner"], projects={old["project"]: Level.MEMBER} if old["project"] else {})
        async with self._unit.reading() as connection:
            if command.tasks == "failed":
                spec = await spec_of_failed(connection, old, spec)
            kept = await find_array(connection, old["id"]) if spec.array else {"items_of": None}
            items = await self._keeping.items(connection, kept)
        admitted = await self._admission.admit(spec, owner, items=items, items_of=kept["items_of"])
        return await self._let_in(
            delivery, command.new_id, old["owner"], admitted, Kind(old["kind"]), command.request_hash, old["id"]
        )

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
            await self._request_cancel(work, journey, command)
            return to_workload(journey.row)

    async def start(self, command: StartWorkload, delivery: Delivery) -> Workload:
        """Let a held workload go."""
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return to_workload(await self._visible(command.principal, command.workload_id))
            journey = await self._journey(work, command.principal, command.workload_id)
            spec = to_workload(journey.row).spec
            if not spec.hold or journey.state not in {WorkloadState.ACCEPTED, WorkloadState.HELD}:
                raise ConflictError(f"{command.workload_id} is not held: {journey.state}")
            work.defer(TEMPORAL_SINK, f"signal/{command.workload_id}", Signal(start=True))
            return to_workload(journey.row)

    # --- queries ------------------------------------------------------------------------------------------------

    async def get(self, query: GetWorkload) -> Workload:
        """Return one workload."""
        return to_workload(await self._visible(query.principal, query.workload_id))

    async def history(self, query: GetHistory) -> History:
        """Return all moves of a workload."""
        await self._visible(query.principal, query.workload_id)
        async with self._unit.reading() as connection:
            rows = await store.history(connection, query.workload_id)
        return History(workload_id=query.workload_id, transitions=[to_transition(row) for row in rows])

    async def page(self, query: ListWorkloads) -> WorkloadPage:
        """Return a page of what the principal may see, newest first."""
        before = None if query.cursor is None else _read_cursor(query.cursor)
        async with self._unit.reading() as connection:
            rows = await store.page(connection, query, scope_of(query.principal), before)
        shown = rows[: query.limit]
        more = _write_cursor(shown[-1]["seq"]) if len(rows) > query.limit else None
        return WorkloadPage(items=[to_workload(row) for row in shown], next_cursor=more)

    async def is_over(self, workload_id: str) -> bool:
        """Say whether a workload has ended, or never was."""
        row = await self._find(workload_id)
        return row is None or WorkloadState(row["state"]).is_terminal

    # --- inside -------------------------------------------------------------------------------------------------

    async def _find(self, workload_id: str) -> Record | None:
        async with self._unit.reading() as connection:
            return await store.find(connection, workload_id)

    async def _visible(self, principal: Principal, workload_id: str, *, to_change: bool = False) -> Record:
        row = await self._find(workload_id)
        return _visible_row(row, principal, workload_id, to_change=to_change)

    async def _journey(self, work: Work, principal: Principal, workload_id: str) -> Journey:
        journey = await store.open_journey(work, workload_id)
        _visible_row(journey.row if journey else None, principal, workload_id, to_change=True)
        assert journey is not None
        return journey

    async def _request_cancel(self, work: Work, journey: Journey, command: CancelWorkload) -> None:
        row = journey.row
        message = command.message or f"canceled by {command.principal.subject}"
        journey.note(cancel_requested=True)
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

    async def _let_in(
        self,
        delivery: Delivery,
        workload_id: str,
        owner: str,
        admitted: Admitted,
        kind: Kind,
        request_hash: str,
        retry_of: str | None = None,
    ) -> Workload:
        spec, array = admitted.spec, admitted.spec.array
        row = new_row(workload_id, owner, admitted.kept, admitted.inputs, kind, request_hash, retry_of)
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                raise ConflictError("the command was handled before, but its workload is gone")
            await work.connection.execute(insert(workloads).values(**row))
            await work.connection.execute(insert(transitions).values(**_first_move(row)))
            if array is not None:
                kept = array_row(workload_id, array.items, admitted.items_of, admitted.own_inputs)
                await work.connection.execute(insert(arrays).values(**kept))
            work.send(_accepted(row, admitted))
            work.defer(TEMPORAL_SINK, f"start/{workload_id}", _start(row, spec))
        return to_workload(row)


def _visible_row(row: Record | None, principal: Principal, workload_id: str, *, to_change: bool = False) -> Record:
    if row is None:
        raise NotFoundError(f"{workload_id} does not exist")
    require_visible(principal, row["owner"], row["project"], workload_id, to_change=to_change)
    return row


def _same(row: Record, principal: Principal, request_hash: str) -> Workload:
    """Return what the first of two equal requests made."""
    require_visible(principal, row["owner"], row["project"], row["id"])
    if request_hash and row["request_hash"] and request_hash != row["request_hash"]:
        raise MismatchError("this Idempotency-Key was used for another request")
    return to_workload(row)


def new_row(
    workload_id: str,
    owner: str,
    spec: JobSpec,
    inputs: list[FrozenInput],
    kind: Kind,
    request_hash: str,
    retry_of: str | None,
) -> Record:
    """Return the row of a workload that has just been let in."""
    moment: datetime = now()
    return {
        "id": workload_id,
        "kind": kind.value,
        "owner": owner,
        "project": spec.project,
        "name": spec.name,
        "labels": spec.labels,
        "spec": spec.model_dump(mode="json"),
        "inputs": [item.model_dump(mode="json") for item in inputs],
        "state": WorkloadState.ACCEPTED.value,
        "reason": Reason.SUBMITTED.value,
        "message": "",
        "attempt": 1,
        "backend": None,
        "native_id": None,
        "exit_code": None,
        "revision": 1,
        "cancel_requested": False,
        "retry_of": retry_of,
        "request_hash": request_hash,
        "created_at": moment,
        "updated_at": moment,
        "started_at": None,
        "finished_at": None,
        "allocation": None,
        "usage": None,
        "outputs": [],
        "logs": [],
        "seen_at": None,
        "tasks": first_counts(spec.array).model_dump() if spec.array else None,
    }


def _first_move(row: Record) -> dict[str, Any]:
    return {
        "workload_id": row["id"],
        "revision": 1,
        "state": row["state"],
        "at": row["created_at"],
        "attempt": 1,
        "reason": row["reason"],
        "message": "",
    }


async def _cancel_some(work: Work, journey: Journey, tasks: str) -> Workload:
    row = journey.row
    if row["tasks"] is None:
        raise InvalidError.of("tasks", f"{row['id']} is no array")
    ending = await cancel_tasks(work, journey, read_tasks(tasks, array_of(row)))
    work.defer(TEMPORAL_SINK, f"signal/{row['id']}", Signal(recall=Recall(tasks=ending)))
    return to_workload(row)


def _accepted(row: Record, admitted: Admitted) -> WorkloadAccepted:
    return WorkloadAccepted(
        workload_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        revision=1,
        kind=Kind(row["kind"]),
        spec=admitted.spec,
        inputs=[*admitted.inputs, *admitted.own_inputs],
        items_of=admitted.items_of,
        retry_of=row["retry_of"],
        request_hash=row["request_hash"],
        at=row["created_at"],
    )


def _start(row: Record, spec: JobSpec) -> StartJob:
    job = JobInput(
        workload_id=row["id"],
        hold=spec.hold,
        max_retries=spec.retries.max,
        backoff=spec.retries.backoff.total_seconds(),
        walltime=spec.resources.walltime.total_seconds(),
        array=spec.array is not None,
    )
    return StartJob(job=job, owner=row["owner"], project=row["project"], title=spec.name or "")


def _write_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"w{seq}".encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    if not _CURSOR.match(text):
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return int(text[1:])

"""Lets a workload in, inside a transaction that may let in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import ConflictError, RefusedError
from contracts.events import WorkloadAccepted
from contracts.model import now
from contracts.principals import Principal
from contracts.runs import FrozenInput
from contracts.spec import After, JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Kind
from services.chassis.together import Part
from services.chassis.unit import Work

from .admission import Admitted
from .arrays.admitting import first_counts
from .arrays.keeping import array_row
from .journey import Journey
from .numbers import claims_taken, know_number, take_numbers
from .queue.demand import demand_of_row
from .queue.dependencies import Footing, cause_of, look_up, write_down
from .queue.dispatcher import Dispatcher
from .queue.lanes import LaneKey
from .queue.table import Ticket
from .records import Record, to_workload
from .tables import arrays, callbacks, notices, transitions, workloads
from .temporal import StartJob
from .webhooks.words import listen
from .workflows.words import JobInput

__all__ = ["Arrival", "Entrance", "TurnedAwayError", "enroll", "new_row", "start_of"]

_ADD_WORKLOAD = insert(workloads)
_ADD_MOVE = insert(transitions)

_LATER = (
    *("backend", "native_id", "number", "schedule_id", "batch_id", "cause", "allocation", "started_at", "seen_at"),
    *("usage", "exit_code", "finished_at", "removed_at"),
)
"""What nothing is known of when a workload is let in."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A workload that nothing speaks against."""

    workload_id: str
    principal: Principal
    """Who asks, and so may see what it waits for."""
    owner: str
    admitted: Admitted
    kind: Kind = Kind.JOB
    request_hash: str = ""
    retry_of: str | None = None
    schedule_id: str | None = None
    batch_id: str | None = None
    at: datetime = field(default_factory=now)
    number: int | None = None
    """The number that it had when it was let in, where that is repeated."""


class TurnedAwayError(Exception):
    """One of several must not come in, and so none does."""

    def __init__(self, place: int, refusal: RefusedError) -> None:
        super().__init__(f"{place}: {refusal.detail}")
        self.place = place
        self.refusal = refusal


class Entrance:
    """Writes down what comes in and hands it to the dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def let_in_messages(self, parts: Sequence[Part[Arrival]]) -> list[Record]:
        """Write down workloads that came one by one; raises the refusal of the first that must not come in.

        Each goes at once, waits, or is canceled where what it waits for ended already.
        """
        try:
            return await self.let_in_parts(parts)
        except TurnedAwayError as error:
            raise error.refusal from error

    async def let_in_all(self, work: Work, arrivals: Sequence[Arrival]) -> list[Record]:
        """Write several down, all or none: those that others wait for come first.

        Raises `TurnedAwayError`. What can be written for all at once is: hundreds would hold everybody else up.
        """
        return await self.let_in_parts([Part(work, arrival) for arrival in arrivals])

    async def let_in_parts(self, parts: Sequence[Part[Arrival]]) -> list[Record]:
        """Do the same for several messages of one transaction, each in its own context."""
        rows = [_row_of(part.item) for part in parts]
        connection = parts[0].work.connection
        await _number(connection, rows)
        moves = [_begin(part, row) for part, row in zip(parts, rows, strict=True)]
        await _write(connection, [part.item for part in parts], rows, [move for some in moves for move in some])
        unmet: dict[str, list[After]] = {}
        for place, (part, row) in enumerate(zip(parts, rows, strict=True)):
            try:
                unmet[row["id"]] = await self._seat(part.work, part.item, row)
            except RefusedError as refusal:
                raise TurnedAwayError(place, refusal) from refusal
        await write_down(connection, {waiter: items for waiter, items in unmet.items() if items})
        return rows

    async def _seat(self, work: Work, arrival: Arrival, row: Record) -> list[After]:
        """Give one that was written down its place; returns whose end it waits for."""
        spec = arrival.admitted.spec
        footing = await look_up(work.connection, row["id"], spec.after, arrival.principal)
        if footing.broken or (spec.hold and row["state"] != WorkloadState.HELD):
            await self._move_at_once(work, row, footing)
        if footing.broken:
            return []
        await self._dispatcher.admit(
            work, _ticket(row, spec, arrival.admitted.backends, footing, ordered=arrival.admitted.ordered)
        )
        return footing.unmet

    async def seat_again(self, work: Work, row: Record, backends: Sequence[str], *, ordered: bool = False) -> None:
        """Give one whose place in the queue got lost its place again; *backends* can hold it."""
        if row["cancel_requested"]:
            # It was let go, but no attempt was handed over: that is recorded first.
            journey = Journey(work, row)
            journey.move(WorkloadState.CANCELED, at=now(), reason=Reason.CANCELED, message="canceled before its turn")
            await journey.save()
            return
        spec = to_workload(row).spec
        footing = await look_up(work.connection, row["id"], spec.after, None)
        if footing.broken:
            await self._move_at_once(work, row, footing)
            return
        await self._dispatcher.admit(work, _ticket(row, spec, backends, footing, ordered=ordered), again=True)
        await write_down(work.connection, {row["id"]: footing.unmet})

    @staticmethod
    async def _move_at_once(work: Work, row: Record, footing: Footing) -> None:
        journey = Journey(work, row)
        if footing.broken:
            cause, message = await cause_of(work.connection, row["owner"], *footing.broken)
            journey.note(cause=cause)
            journey.move(WorkloadState.CANCELED, at=now(), reason=Reason.DEPENDENCY, message=message)
        else:
            _hold(journey)
        await journey.save()


async def _number(connection: AsyncConnection, rows: Sequence[Record]) -> None:
    """Give new workloads their numbers; raises `TurnedAwayError` for one whose name another one has for itself."""
    for row, number in zip(rows, await take_numbers(connection, len(rows)), strict=True):
        row["number"] = number
    for place, name in (await claims_taken(connection, rows)).items():
        raise TurnedAwayError(place, ConflictError(f"another job of yours is called {name!r}; remove it first"))


def _begin(part: Part[Arrival], row: Record) -> list[dict[str, Any]]:
    """Tell of a workload that is let in, and return its first moves; one that is held for sure is held at once."""
    spec, moves = part.item.admitted.spec, [_first_move(row)]
    part.work.send(_accepted(row, part.item.admitted))
    if spec.callback is not None or spec.notify is not None:
        part.work.defer(*listen(row["id"]))
    if spec.hold and not spec.after:
        journey = Journey(part.work, row)
        _hold(journey)
        moves += journey.take_moves()
    return moves


def _hold(journey: Journey) -> None:
    journey.move(WorkloadState.HELD, at=now(), reason=Reason.HELD, message="waits for a start")


async def enroll(connection: AsyncConnection, arrivals: Sequence[Arrival]) -> list[Record]:
    """Write down that workloads were let in, and nothing else; returns their rows."""
    rows = [_row_of(arrival) for arrival in arrivals]
    await _write(connection, arrivals, rows, [_first_move(row) for row in rows])
    if numbers := [row["number"] for row in rows if row["number"]]:
        await know_number(connection, max(numbers))
    return rows


async def _write(
    connection: AsyncConnection, arrivals: Sequence[Arrival], rows: list[Record], moves: list[dict[str, Any]]
) -> None:
    await connection.execute(_ADD_WORKLOAD, rows)
    await connection.execute(_ADD_MOVE, moves)
    if kept := [_kept_of(arrival) for arrival in arrivals if arrival.admitted.spec.array]:
        await connection.execute(insert(arrays), kept)
    if told := [_callback_of(arrival) for arrival in arrivals if arrival.admitted.spec.callback]:
        await connection.execute(insert(callbacks), told)
    if told := [_notice_of(arrival) for arrival in arrivals if arrival.admitted.spec.notify]:
        await connection.execute(insert(notices), told)


def _row_of(arrival: Arrival) -> Record:
    row = new_row(
        arrival.workload_id,
        arrival.owner,
        arrival.admitted.kept,
        arrival.admitted.inputs,
        arrival.kind,
        arrival.request_hash,
        arrival.retry_of,
    )
    row.update(schedule_id=arrival.schedule_id, batch_id=arrival.batch_id, number=arrival.number)
    row.update(created_at=arrival.at, updated_at=arrival.at)
    return row


def _callback_of(arrival: Arrival) -> Record:
    callback = arrival.admitted.spec.callback
    assert callback is not None
    return {**_told(arrival), "callback": callback.model_dump(mode="json")}


def _notice_of(arrival: Arrival) -> Record:
    notify = arrival.admitted.spec.notify
    assert notify is not None
    return {**_told(arrival), "notify": notify.model_dump(mode="json")}


def _told(arrival: Arrival) -> Record:
    return {
        "workload_id": arrival.workload_id,
        "owner": arrival.owner,
        "project": arrival.admitted.spec.project,
        "closed": False,
        "created_at": arrival.at,
    }


def _kept_of(arrival: Arrival) -> Record:
    spec, admitted = arrival.admitted.spec, arrival.admitted
    assert spec.array is not None
    return array_row(arrival.workload_id, spec.array.items, admitted.items_of, admitted.own_inputs)


def _ticket(row: Record, spec: JobSpec, backends: Sequence[str], footing: Footing, *, ordered: bool) -> Ticket:
    moments = [moment for moment in (spec.start_at, footing.not_before) if moment]
    return Ticket(
        id=row["id"],
        key=LaneKey(
            row["owner"],
            row["project"] or "",
            spec.priority,
            tuple(backends),
            len(backends) > 1 and ordered,
        ),
        demand=demand_of_row(row),
        start=start_of(row, spec).model_dump(mode="json"),
        held=row["state"] == WorkloadState.HELD,
        unmet=len(footing.unmet),
        not_before=max(moments, default=None),
    )


def start_of(row: Record, spec: JobSpec) -> StartJob:
    """Return what is said to Temporal when a workload goes."""
    job = JobInput(
        workload_id=row["id"],
        max_retries=spec.retries.max,
        backoff=spec.retries.backoff.total_seconds(),
        walltime=spec.resources.walltime.total_seconds(),
        array=spec.array is not None,
    )
    return StartJob(job=job, owner=row["owner"], project=row["project"], title=spec.name or "")


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
        "revision": 1,
        "cancel_requested": False,
        "retry_of": retry_of,
        "request_hash": request_hash,
        "created_at": moment,
        "updated_at": moment,
        "outputs": [],
        "logs": [],
        "awaited": False,
        "phase": "",
        "tail": "",
        "tasks": first_counts(spec.array).model_dump() if spec.array else None,
        "claimed_name": spec.name if spec.unique_name else None,
        **dict.fromkeys(_LATER),
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
        **dict.fromkeys(("backend", "native_id", "exit_code", "allocation", "usage")),
    }


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
        shared_inputs=len(admitted.inputs) if admitted.own_inputs else None,
        retry_of=row["retry_of"],
        request_hash=row["request_hash"],
        schedule_id=row["schedule_id"],
        batch_id=row["batch_id"],
        number=row["number"],
        at=row["created_at"],
    )

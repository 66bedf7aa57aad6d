"""What users ask about batches: let in all or none, look, end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pydantic import TypeAdapter
from sqlalchemy import insert

from contracts.batches import Batch, BatchMember, BatchSpec, job_ids, jobs_of, order_of, state_of
from contracts.commands import CancelBatch, CreateBatch
from contracts.errors import ConflictError, FieldError, InvalidError, MismatchError, NotFoundError, RefusedError
from contracts.events import BatchCreated
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import BatchPage, GetBatch, ListBatches
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from services.chassis.bus import Delivery
from services.chassis.cursors import read_cursor, write_cursor
from services.chassis.policy import require_visible, scope_of
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.admission import Admission, Admitted
from services.scheduler.entrance import Arrival, Entrance, TurnedAwayError
from services.scheduler.records import Record
from services.scheduler.service import WorkloadService
from services.scheduler.store import open_journey
from services.scheduler.tables import batches

from . import store

__all__ = ["BatchService"]

_AT_ONCE = 16
"""Jobs whose inputs are looked up side by side."""

_CANCELED_AT_ONCE = 50
"""Jobs that are ended in one transaction; others want to write too."""

_NAMED = 100
"""Errors that are named; more help nobody."""

_MEMBERS = TypeAdapter(list[BatchMember])


class BatchService:
    """Lets jobs in together."""

    def __init__(
        self, *, unit: UnitOfWork, admission: Admission, entrance: Entrance, workloads: WorkloadService
    ) -> None:
        self._unit = unit
        self._admission = admission
        self._entrance = entrance
        self._workloads = workloads

    # --- commands -----------------------------------------------------------------------------------------------

    async def create(self, command: CreateBatch, delivery: Delivery) -> Batch:
        """Let all jobs in, or refuse all; the same identifier twice is the same batch, if the request is the same."""
        known = await self._find(command.batch_id)
        if known is not None:
            return await self._same(known, command)
        order = order_of(command.spec.jobs)
        admitted = await self._admit_all(jobs_of(command.batch_id, command.spec), command.principal)
        row = _new_row(command, admitted)
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                raise ConflictError("the command was handled before, but its batch is gone")
            await work.connection.execute(insert(batches).values(**row))
            work.send(_created(row))
            await self._let_in(work, command, order, admitted)
        return await self._show(row)

    async def cancel(self, command: CancelBatch, delivery: Delivery) -> Batch:
        """End all jobs; those that wait for others first, so that none of them goes because another was canceled."""
        row = _visible_row(await self._find(command.batch_id), command.principal, command.batch_id, to_change=True)
        async with self._unit.reading() as connection:
            left = await store.unfinished(connection, row["id"])
        # The latest in the order of waiting come first.
        ending = [member for member in reversed(_in_order(_members(row))) if member.job_id in left]
        message = command.message or f"canceled with its batch by {command.principal.subject}"
        for start in range(0, len(ending), _CANCELED_AT_ONCE):
            async with self._unit.begin(delivery.context) as work:
                for member in ending[start : start + _CANCELED_AT_ONCE]:
                    journey = await open_journey(work, member.job_id)
                    if journey and not journey.state.is_terminal and not journey.row["cancel_requested"]:
                        await self._workloads.request_cancel(work, journey, message)
        return await self._show(row)

    # --- queries ------------------------------------------------------------------------------------------------

    async def get(self, query: GetBatch) -> Batch:
        """Return one batch with its jobs."""
        return await self._show(_visible_row(await self._find(query.batch_id), query.principal, query.batch_id))

    async def page(self, query: ListBatches) -> BatchPage:
        """Return a page of what the principal may see, newest first, without the jobs."""
        before = None if query.cursor is None else read_cursor(query.cursor, "b")
        async with self._unit.reading() as connection:
            rows = await store.page(connection, query, scope_of(query.principal), before)
            shown = rows[: query.limit]
            counts = await store.counts_of(connection, [row["id"] for row in shown])
        more = write_cursor(shown[-1]["seq"], "b") if len(rows) > query.limit else None
        return BatchPage(items=[_to_batch(dict(row), counts[row["id"]]) for row in shown], next_cursor=more)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _find(self, batch_id: str) -> Record | None:
        async with self._unit.reading() as connection:
            return await store.find(connection, batch_id)

    async def _admit_all(self, jobs: list[JobSpec], principal: Principal) -> list[Admitted]:
        """Return all as they will run, or refuse with all that is wrong."""
        errors: list[FieldError] = []
        hands = asyncio.Semaphore(_AT_ONCE)

        async def admit(place: int, job: JobSpec) -> Admitted | None:
            async with hands:
                try:
                    with _inside(place):
                        return await self._admission.admit(job, principal)
                except InvalidError as refusal:
                    errors.extend(refusal.errors)
                    return None

        found = await asyncio.gather(*(admit(place, job) for place, job in enumerate(jobs)))
        admitted = [one for one in found if one is not None]
        if len(admitted) < len(jobs):
            raise _refusal(errors)
        return admitted

    async def _let_in(self, work: Work, command: CreateBatch, order: list[int], admitted: list[Admitted]) -> None:
        ids = job_ids(command.batch_id, command.spec)
        arrivals = [
            Arrival(
                workload_id=ids[command.spec.jobs[place].key],
                principal=command.principal,
                owner=command.principal.subject,
                admitted=admitted[place],
                batch_id=command.batch_id,
            )
            for place in order
        ]
        try:
            await self._entrance.let_in_all(work, arrivals)
        except TurnedAwayError as error:
            with _inside(order[error.place]):
                raise error.refusal from error

    async def _show(self, row: Record) -> Batch:
        async with self._unit.reading() as connection:
            found = await store.members(connection, row["id"])
        jobs = [
            member.model_copy(
                update={
                    "state": WorkloadState(found[member.job_id]["state"]),
                    "exit_code": found[member.job_id]["exit_code"],
                    "message": found[member.job_id]["message"],
                }
            )
            for member in _members(row)
            if member.job_id in found
        ]
        return _to_batch(row, Counter(member.state for member in jobs), jobs)

    async def _same(self, row: Record, command: CreateBatch) -> Batch:
        """Return what the first of two equal requests made."""
        _visible_row(row, command.principal, row["id"])
        if command.request_hash and row["request_hash"] and command.request_hash != row["request_hash"]:
            raise MismatchError("this Idempotency-Key was used for another request")
        return await self._show(row)


@contextmanager
def _inside(place: int) -> Iterator[None]:
    """Say of which job a refusal is."""
    try:
        yield
    except InvalidError as error:
        found = error.errors or [FieldError(field="", message=error.detail)]
        errors = [FieldError(field=f"jobs.{place}.{item.field}".rstrip("."), message=item.message) for item in found]
        raise _refusal(errors) from error
    except RefusedError as error:
        raise type(error)(f"jobs.{place}: {error.detail}", errors=error.errors) from error


def _refusal(errors: list[FieldError]) -> InvalidError:
    listed = sorted(errors, key=_place)[:_NAMED]
    return InvalidError("; ".join(f"{item.field}: {item.message}" for item in listed[:5]), errors=listed)


def _place(error: FieldError) -> int:
    return int(error.field.split(".")[1])


def _members(row: Record) -> list[BatchMember]:
    return _MEMBERS.validate_python(row["members"], extra="ignore")


def _in_order(members: list[BatchMember]) -> list[BatchMember]:
    return [members[place] for place in order_of(members)]


def _new_row(command: CreateBatch, admitted: list[Admitted]) -> Record:
    ids, spec = job_ids(command.batch_id, command.spec), command.spec
    return {
        "id": command.batch_id,
        "owner": command.principal.subject,
        "project": admitted[0].spec.project,
        "name": spec.name,
        "members": [_member(spec, place, ids) for place in range(len(spec.jobs))],
        "request_hash": command.request_hash,
        "created_at": now(),
    }


def _member(spec: BatchSpec, place: int, ids: Mapping[str, str]) -> dict[str, object]:
    job = spec.jobs[place]
    return BatchMember(key=job.key, job_id=ids[job.key], after=job.after).model_dump(mode="json")


def _created(row: Record) -> BatchCreated:
    return BatchCreated(
        batch_id=row["id"],
        owner=row["owner"],
        project=row["project"],
        batch_name=row["name"],
        members=_members(row),
        request_hash=row["request_hash"],
        at=row["created_at"],
    )


def _to_batch(row: Record, counts: Mapping[WorkloadState, int], jobs: list[BatchMember] | None = None) -> Batch:
    known = {name: row[name] for name in ("id", "owner", "project", "name", "created_at")}
    return Batch(**known, state=state_of(dict(counts)), counts=dict(counts), jobs=jobs or [])


def _visible_row(row: Record | None, principal: Principal, batch_id: str, *, to_change: bool = False) -> Record:
    if row is None:
        raise NotFoundError(f"{batch_id} does not exist")
    require_visible(principal, row["owner"], row["project"], batch_id, to_change=to_change)
    return row

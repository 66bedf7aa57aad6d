"""Lends work to outside workers, and takes what they say of it. One transaction for each word, with its events."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from hmac import compare_digest
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFoundError
from contracts.holdings import Allocation, OutputFile
from contracts.leases import (
    GetLease,
    Lease,
    Leases,
    LeaseStanding,
    LeaseView,
    Loan,
    ReportLease,
    TakeLeases,
    UseLease,
)
from contracts.model import now
from contracts.runs import RunTask, Step, StepName
from contracts.states import Reason, WorkloadState
from services.chassis.bus import Delivery
from services.chassis.unit import UnitOfWork, Work
from services.scheduler.figures import plausible
from services.scheduler.journey import Journey
from services.scheduler.records import Record, to_workload
from services.scheduler.reports import take_step, tell_end
from services.scheduler.settings import PullSettings
from services.scheduler.store import find as find_workload
from services.scheduler.store import open_journey

from . import store, tasks
from .store import PullState
from .workers import Worker, worker_of

__all__ = ["LeaseDesk"]

_PULLED = "pulled"
"""The phase of an attempt whose worker has not said more yet."""

_MOST_OF_ANSWER = 2 * 2**20
"""Bytes of leases that are given at once; an answer travels in one message."""

_OWN_CLOCK = timedelta(seconds=30)
"""Time for which a worker of ours, which ends what runs too long itself, is not told to."""


class LeaseDesk:
    """Answers workers. What a worker may not have, or has lost, does not exist for it."""

    def __init__(self, *, unit: UnitOfWork, backends: Mapping[str, PullSettings]) -> None:
        self._unit = unit
        self._backends = backends

    # --- lending ------------------------------------------------------------------------------------------------

    async def take(self, command: TakeLeases, delivery: Delivery) -> Leases:
        """Lend what fits, by priority and age. A lease whose answer gets lost is lost by silence."""
        settings = self._backends.get(command.backend)
        if settings is None:
            raise NotFoundError(f"there is no backend {command.backend!r} to take work from")
        worker = worker_of(command.principal, command.worker, settings)
        items: list[Lease] = []
        size = 0
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return Leases(items=[])
            await store.see(work.connection, command.backend, worker, command.offer, now(), asks=command.limit > 0)
            for number in await self._fitting(work, command, worker, settings) if command.limit else ():
                lease = await self._lend(work, number, command, worker, settings)
                if lease is not None:
                    items.append(lease)
                    size += len(lease.model_dump_json())
                if size > _MOST_OF_ANSWER:
                    break
        return Leases(items=items)

    async def _fitting(self, work: Work, command: TakeLeases, worker: Worker, settings: PullSettings) -> list[int]:
        moment = now()
        return await store.first_fitting(
            work.connection,
            command.backend,
            worker,
            command.offer,
            command.limit,
            before=moment - timedelta(seconds=command.older_than),
            alive=moment - timedelta(seconds=settings.alive),
        )

    async def _lend(
        self, work: Work, number: int, command: TakeLeases, worker: Worker, settings: PullSettings
    ) -> Lease | None:
        """Lend one; None if it is wanted no more."""
        row = await store.find(work.connection, number, to_change=True)
        journey = await open_journey(work, row["workload_id"]) if row else None
        if row is None:
            return None
        if not await _waits(work, journey, row):
            # No report will come: whoever takes it back is told that it is gone.
            values = {"state": PullState.ENDED.value, "ending": Reason.CANCELED.value}
            await store.change(work.connection, number, PullState.WAITING, **values)
            return None
        assert journey is not None
        moment, token = now(), secrets.token_urlsafe(24) if command.keyed else ""
        lent = {"state": PullState.LEASED.value, "worker": worker.name, "leased_at": moment, "seen_at": moment}
        lent["token_hash"] = _hash(token) if token else None
        if not await store.change(work.connection, number, PullState.WAITING, **lent):
            return None
        task = RunTask.model_validate(row["task"], extra="ignore")
        room = _room(command, worker, task)
        if row["of_array"]:
            await tasks.lend(work, row, room)
        else:
            journey.move(WorkloadState.STARTING, at=moment, reason=Reason.STARTED, allocation=room, phase=_PULLED)
            await journey.save()
        return Lease(
            number=number,
            token=token,
            keep_within=settings.lease,
            task=task.model_copy(update={"ticket": ""}),
            job=to_workload(journey.row),
        )

    # --- reports ------------------------------------------------------------------------------------------------

    async def report(self, command: ReportLease, delivery: Delivery) -> LeaseStanding:
        """Take what a worker says of an attempt; of one that it has lost nothing is taken."""
        gone = LeaseStanding(number=command.number, gone=True)
        async with self._unit.handling(delivery.message_id, delivery.context) as work:
            if work is None:
                return LeaseStanding(number=command.number)
            row = await store.find(work.connection, command.number, to_change=True)
            if row is None or not self._is_theirs(row, command):
                return gone
            journey = await open_journey(work, row["workload_id"])
            if journey is None or not await tasks.is_present(work.connection, journey.row, row):
                await store.change(work.connection, row["number"], PullState.LEASED, state=PullState.ENDED.value)
                return gone
            return await _take(work, journey, row, command)

    def _is_theirs(self, row: Record, asked: ReportLease | UseLease) -> bool:
        """Say whether an attempt is lent to whoever asks."""
        settings = self._backends.get(row["backend"])
        if settings is None or row["state"] != PullState.LEASED:
            return False
        worker_of(asked.principal, "", settings)
        if row["token_hash"] is None:
            return not asked.token and row["worker"] == asked.principal.subject
        whose = row["worker"].partition("/")[0] == asked.principal.subject
        return whose and compare_digest(row["token_hash"], _hash(asked.token))

    # --- questions ----------------------------------------------------------------------------------------------

    async def get(self, query: GetLease) -> LeaseView:
        """Return how a lease stands, to any worker."""
        async with self._unit.looking_up() as connection:
            row = await store.find(connection, query.number)
            job = await find_workload(connection, row["workload_id"]) if row else None
            is_current = row is not None and job is not None and await _is_current(connection, job, row)
        settings = self._backends.get(row["backend"]) if row else None
        if row is None or job is None or settings is None:
            raise _nothing(query.number)
        worker_of(query.principal, "", settings)
        return LeaseView(number=row["number"], job=to_workload(job), is_current=is_current)

    async def use(self, query: UseLease) -> Loan:
        """Return what files of a lease are fetched and stored by; one that is to be ended stores nothing any more."""
        async with self._unit.looking_up() as connection:
            row = await store.find(connection, query.number)
            if row is None or row["ending"] or not self._is_theirs(row, query):
                raise _nothing(query.number)
            job = await find_workload(connection, row["workload_id"])
            if job is None or not await tasks.is_present(connection, job, row):
                raise _nothing(query.number)
        task = RunTask.model_validate(row["task"], extra="ignore")
        return Loan(number=row["number"], job=to_workload(job), is_current=True, task=task)


async def _take(work: Work, journey: Journey, row: Record, command: ReportLease) -> LeaseStanding:
    moment, number = now(), row["number"]
    ending = _why_to_end(row, moment)
    if ending is not None and not row["token_hash"]:
        # Such a worker understands only that it is gone: that is the end.
        message = "its worker was told to stop"
        steps = [Step(step=StepName.DONE, at=moment, reason=ending, message=message)]
    else:
        steps = [_dated(step, row, moment) for step in command.steps]
    values: dict[str, object] = {"seen_at": moment}
    for step in steps:
        if not row["of_array"] and (end := take_step(work, journey, plausible(step))):
            tell_end(work, journey.row["id"], end)
        values |= _noted(row, step)
    if row["of_array"]:
        await tasks.take(work, journey, row, steps)
    else:
        await journey.save()
    await store.change(work.connection, number, PullState.LEASED, **values)
    await store.hear(work.connection, row["backend"], row["worker"], moment)
    gone = ending is not None and not row["token_hash"]
    return LeaseStanding(number=number, gone=gone, ending=ending)


def _noted(row: Record, step: Step) -> dict[str, object]:
    """Return what a step changes in the row of its lease."""
    match step.step:
        case StepName.RUNNING if row["began_at"] is None:
            return {"began_at": step.at}
        case StepName.EXITED if row["exited_at"] is None:
            return {"exited_at": step.at}
        case StepName.ALIVE if step.outputs:
            return {"outputs": _with_kept(row, step)}
        case StepName.DONE:
            return {"state": PullState.ENDED.value, "ending": (step.reason or Reason.INTERNAL).value}
    return {}


def _why_to_end(row: Record, moment: datetime) -> Reason | None:
    """Say why an attempt is to be ended, if it is."""
    if row["ending"]:
        return Reason(row["ending"])
    if row["began_at"] is None or row["exited_at"] is not None:
        return None
    longest = timedelta(seconds=row["task"]["walltime"]) + (_OWN_CLOCK if row["token_hash"] else timedelta(0))
    return Reason.WALLTIME if moment - row["began_at"] > longest else None


def _dated(step: Step, row: Record, moment: datetime) -> Step:
    """Return a step at a time that can be: the clocks of other people's machines are what they are."""
    found = step.model_copy(update={"at": min(max(step.at, row["leased_at"]), moment)})
    if step.step is not StepName.DONE or step.outputs:
        return found
    # What came home one by one, by the gateway.
    return found.model_copy(update={"outputs": [OutputFile.model_validate(item) for item in row["outputs"]]})


def _with_kept(row: Record, step: Step) -> list[dict[str, Any]]:
    """Return what has come home by now; of what came twice the last counts."""
    kept = {item["path"]: item for item in row["outputs"]}
    return list((kept | {item.path: item.model_dump(mode="json") for item in step.outputs}).values())


def _room(command: TakeLeases, worker: Worker, task: RunTask) -> Allocation:
    return Allocation(
        backend=command.backend,
        node=worker.name,
        cpus=task.cpus,
        memory=task.memory or 0,
        gpus=task.gpus,
        gpu_model=(command.offer.gpu_model or "") if task.gpus else "",
    )


async def _waits(work: Work, journey: Journey | None, row: Record) -> bool:
    """Say whether a job waits for somebody to take this attempt."""
    if journey is None or journey.row["cancel_requested"]:
        return False
    if not row["of_array"] and journey.state is not WorkloadState.QUEUED:
        return False
    return await tasks.is_present(work.connection, journey.row, row)


async def _is_current(connection: AsyncConnection, job: Record, row: Record) -> bool:
    if row["of_array"]:
        return await tasks.is_present(connection, job, row)
    return bool(job["attempt"] == row["attempt"])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _nothing(number: int) -> NotFoundError:
    return NotFoundError(f"the lease {number} does not exist, or is yours no more")

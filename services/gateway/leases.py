"""Work for outside workers: the scheduler lends it; what it needs of files passes through here, checked each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from contracts.arrays import fill
from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import InvalidError, NotFoundError, ShunterError, UnavailableError
from contracts.files import FileRecord, PartDone, UploadPlan
from contracts.holdings import OutputFile
from contracts.leases import (
    GetLease,
    Leases,
    LeaseStanding,
    LeaseView,
    Loan,
    Offer,
    ReportLease,
    TakeLeases,
    UseLease,
)
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import CheckRunRoom, DownloadRunInputs, OpenRunUpload, RunDownloads
from contracts.ranges import Ranges
from contracts.runs import FrozenInput, LogChunk, RunTask, Step, StepName, run_name
from contracts.subjects import log_subject, work_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.sealing import Sealer

from .callers import Caller
from .closing import Closing
from .transfer import Body, Download, Transfer

__all__ = ["LeaseService", "Whose", "greet"]

_COMPLETE_WAIT = 300.0
"""Seconds that storage has to check an upload; it may have to read all of it."""

_MOST_OF_TICKET = 16_384
_GREETING = 1.0
"""Seconds that a login waits for the scheduler to know of it."""
_TO_GREET = Offer(cpus=1, memory=1)
"""What is offered by somebody who only says that they are there."""


async def greet(bus: Bus, principal: Principal, context: Context, backend: str) -> None:
    """Say that a worker is there, who will ask for work soon; who may have none is refused, and nobody minds."""
    command = TakeLeases(principal=principal, backend=backend, offer=_TO_GREET, limit=0, keyed=False)
    with suppress(ShunterError):
        await bus.order(command, context, wait=_GREETING, answer=Leases)


@dataclass(frozen=True, slots=True)
class Whose:
    """Which lease, and what proves whose it is; without a token it is who asks."""

    number: int
    token: str = ""


class LeaseService:
    """Lends, listens and moves files for one worker."""

    def __init__(
        self, *, bus: Bus, caller: Caller, transfer: Transfer, wait: float, sealer: Sealer, closing: Closing
    ) -> None:
        self._bus = bus
        self._caller = caller
        self._transfer = transfer
        self._wait = wait
        self._sealer = sealer
        self._closing = closing

    # --- leases -------------------------------------------------------------------------------------------------

    async def take(
        self,
        backend: str,
        offer: Offer,
        *,
        worker: str = "",
        limit: int = 1,
        older_than: float = 0.0,
        keyed: bool = True,
        wait: float = 0.0,
        is_gone: Callable[[], Awaitable[bool]] | None = None,
    ) -> Leases:
        """Return what fits; if there is nothing, wait up to *wait* seconds for it.

        *is_gone* says whether the caller has hung up meanwhile: then nothing is taken for them any more.
        """
        command = TakeLeases(
            principal=self._caller.principal,
            worker=worker,
            backend=backend,
            offer=offer,
            limit=limit,
            older_than=older_than,
            keyed=keyed,
        )
        if not wait:
            return await self._take(command)
        news = asyncio.Event()

        async def note(_message: object) -> None:
            news.set()

        with translated("NATS"):
            subscription = await self._bus.connection.subscribe(work_subject(backend), cb=note)
        try:
            return await self._take_patiently(command, news, wait, is_gone)
        finally:
            with suppress(UnavailableError), translated("NATS"):
                await subscription.unsubscribe()

    async def _take_patiently(
        self, command: TakeLeases, news: asyncio.Event, wait: float, is_gone: Callable[[], Awaitable[bool]] | None
    ) -> Leases:
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            news.clear()
            found = await self._take(command)
            left = deadline - asyncio.get_running_loop().time()
            if found.items or left <= 0 or self._closing.is_set:
                return found
            with suppress(TimeoutError), self._closing.waking(news.set):
                async with asyncio.timeout(left):
                    await news.wait()
            if is_gone is not None and await is_gone():
                return Leases(items=[])

    async def report(self, whose: Whose, steps: list[Step]) -> LeaseStanding:
        """Pass on what happened; raises `NotFoundError` where it counts no more."""
        command = ReportLease(
            principal=self._caller.principal,
            number=whose.number,
            token=whose.token,
            steps=steps,
        )
        standing: LeaseStanding = await self._order(command, LeaseStanding)
        if standing.gone:
            raise NotFoundError(f"the lease {whose.number} does not exist, or is yours no more")
        return standing

    async def view(self, number: int) -> LeaseView:
        """Return how a lease stands, to any worker."""
        view: LeaseView = await self._bus.ask(GetLease(principal=self._caller.principal, number=number))
        return view

    async def loan(self, whose: Whose) -> Loan:
        """Return what belongs to a lease, if it is the caller's and goes on."""
        query = UseLease(principal=self._caller.principal, number=whose.number, token=whose.token)
        loan: Loan = await self._bus.ask(query)
        return loan

    # --- files --------------------------------------------------------------------------------------------------

    async def urls(self, whose: Whose, targets: list[str]) -> RunDownloads:
        """Return where inputs of the job are; there are no others."""
        loan = await self.loan(whose)
        inputs = {item.target: item for item in [*loan.task.inputs, *_own_inputs(loan.task)]}
        if unknown := next((target for target in targets if target not in inputs), None):
            raise NotFoundError(f"the job has no input {unknown[:200]!r}")
        wanted = [inputs[target] for target in targets]
        urls: RunDownloads = await self._bus.ask(DownloadRunInputs(ticket=loan.task.ticket, inputs=wanted))
        return urls

    async def fetch(self, whose: Whose, target: str) -> Download:
        """Begin to fetch an input."""
        urls = await self.urls(whose, [target])
        return await self._transfer.open(urls.urls[target])

    async def plan(self, whose: Whose, path: str, to: str | None, size: int, sha256: str) -> UploadPlan:
        """Agree with storage on an output or a log; it is completed here and nowhere else."""
        loan = await self.loan(whose)
        plan = await self._open(loan, path, to, size, sha256)
        sealed = self._sealer.seal(f"{whose.number}:{plan.ticket}", most=_MOST_OF_TICKET)
        return plan.model_copy(update={"ticket": sealed})

    async def complete(self, whose: Whose, ticket: str, parts: list[PartDone]) -> FileRecord:
        """Have storage check an upload, unless the lease was lost meanwhile."""
        await self.loan(whose)
        number, _, plain = self._sealer.open(ticket).partition(":")
        if number != str(whose.number):
            raise InvalidError.of("ticket", "is of another lease")
        return await self._complete(plain, parts)

    async def store(
        self, whose: Whose, path: str, to: str | None, chunks: AsyncIterator[bytes], size: int, sha256: str
    ) -> FileRecord:
        """Bring bytes home; they are there only if the lease is the caller's at the end too."""
        plan = await self._open(await self.loan(whose), path, to, size, sha256)
        body = Body(chunks)
        done = [await self._transfer.put(part, body) for part in sorted(plan.parts, key=lambda part: part.offset)]
        await self.loan(whose)
        record = await self._complete(plan.ticket, [*plan.done, *done])
        kept = OutputFile(path=path, size=size, sha256=sha256, at=None if to is None else record.path)
        await self.report(whose, [Step(step=StepName.ALIVE, at=now(), outputs=[kept])])
        return record

    async def check_room(self, loan: Loan, path: str, to: str | None, size: int) -> None:
        """Refuse what its owner will never have room for, before it comes."""
        await self._bus.ask(CheckRunRoom(ticket=loan.task.ticket, path=path, to=to, size=size))

    async def _open(self, loan: Loan, path: str, to: str | None, size: int, sha256: str) -> UploadPlan:
        question = OpenRunUpload(ticket=loan.task.ticket, path=path, to=to, size=size, sha256=sha256)
        plan: UploadPlan = await self._bus.ask(question)
        return plan

    async def _complete(self, ticket: str, parts: list[PartDone]) -> FileRecord:
        command = CompleteUpload(ticket=ticket, parts=sorted(parts, key=lambda part: part.number))
        record = await self._bus.order(command, self._caller.context, wait=_COMPLETE_WAIT, answer=FileRecord)
        if record is None:
            raise UnavailableError("storage does not answer; the upload is kept and will be completed", retry_after=5.0)
        found: FileRecord = record
        return found

    # --- logs ---------------------------------------------------------------------------------------------------

    async def print(self, whose: Whose, stream: str, offset: int, data: bytes, *, end: bool) -> None:
        """Show what the program printed to those who follow it."""
        task = (await self.loan(whose)).task
        name = f"{run_name(task.workload_id, task.attempt)}-{stream}-{'end' if end else offset}"
        headers = {LogChunk.OFFSET: str(offset), **({LogChunk.END: "1"} if end else {})}
        await self._bus.publish(log_subject(task.workload_id, task.attempt, stream), data, name, headers)

    # --- inside -------------------------------------------------------------------------------------------------

    async def _take(self, command: TakeLeases) -> Leases:
        found: Leases = await self._order(command, Leases)
        return found

    async def _order(self, command: TakeLeases | ReportLease, answer: Any) -> Any:
        found = await self._bus.order(command, self._caller.context, wait=self._wait, answer=answer)
        if found is None:
            raise UnavailableError("the scheduler does not answer", retry_after=2.0)
        return found


def _own_inputs(task: RunTask) -> Iterator[FrozenInput]:
    """Return the inputs of tasks of an array that are not those of all tasks, as each expects them."""
    bundle = task.bundle
    for place, index in enumerate(Ranges.parse(bundle.indices) if bundle else ()):
        assert bundle is not None
        item = bundle.items[place] if bundle.items else None
        for wanted in bundle.sources:
            if frozen := bundle.inputs.get(fill(wanted.source, index, item)):
                yield frozen.model_copy(update={"target": fill(wanted.target, index, item)})

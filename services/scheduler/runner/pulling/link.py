"""What the runner's link to NATS is elsewhere: here it speaks REST with the gateway, and keeps leases alive."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog

from contracts.command import Command
from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import InternalError, NotFoundError, RefusedError, UnavailableError
from contracts.files import FileRecord, UploadPlan
from contracts.leases import Lease
from contracts.model import Model, now
from contracts.queries import DownloadRunInputs, OpenRunUpload, Query, RunDownloads
from contracts.runs import LogChunk, RunReport, RunTask, Step, StepName, run_name
from contracts.states import Reason
from services.scheduler.runner.link import Link
from services.scheduler.runner.settings import NatsSettings

from .gateway import Gateway, Held

__all__ = ["RestLink"]

_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_BEATS = 4
"""Signs of life in the time of silence that would cost a lease."""
_MARK = "\n"
"""Between a lease and a ticket of storage's in one word."""

log = structlog.get_logger(__name__)


class RestLink(Link):
    """Reports, logs and files of leased attempts. *end* is called for those that are to be ended."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        super().__init__(NatsSettings(), name)
        self._gateway = gateway
        self._held: dict[str, Held] = {}
        self._said: dict[str, float] = {}
        self._beating: asyncio.Task[None] | None = None
        self._is_up = False
        self.end: Callable[[str, int], Any] = lambda _workload, _attempt: None
        """Ends an attempt."""

    @property
    def is_up(self) -> bool:
        """Say whether the gateway answered when it was asked last."""
        return self._is_up

    def note(self, *, up: bool) -> None:
        """Note whether the gateway answers."""
        self._is_up = up

    async def until_up(self) -> None:
        """Wait for nothing: each call finds out for itself."""

    # --- leases -------------------------------------------------------------------------------------------------

    def hold(self, lease: Lease) -> RunTask:
        """Keep a lease, and return its task as the runner keeps it."""
        held = Held(lease.number, lease.token, lease.keep_within)
        task = lease.task.model_copy(update={"ticket": held.ticket})
        self.hold_again(task)
        return task

    def hold_again(self, task: RunTask) -> None:
        """Go on with a lease that an earlier worker kept with its task."""
        name = run_name(task.workload_id, task.attempt)
        self._held[name] = Held.read(task.ticket)
        self._said[name] = time.monotonic()

    async def give_back(self, task: RunTask, why: str) -> None:
        """Say that nothing came of a lease."""
        step = Step(step=StepName.DONE, at=now(), reason=Reason.INTERRUPTED, message=why)
        name = run_name(task.workload_id, task.attempt)
        await self._patiently(name, lambda: self._report(name, [step]))

    def begin(self) -> None:
        """Begin to say that what is held is alive."""
        self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        """Say nothing more."""
        if self._beating:
            self._beating.cancel()

    async def _beat(self) -> None:
        while True:
            pause = min((held.keep_within for held in self._held.values()), default=_BEATS * 1.0) / _BEATS
            await asyncio.sleep(pause)
            silent = time.monotonic() - pause
            for name in [name for name in self._held if self._said.get(name, 0.0) < silent]:
                with suppress(UnavailableError, RefusedError):
                    await self._report(name, [Step(step=StepName.ALIVE, at=now())])

    async def _report(self, name: str, steps: list[Step]) -> None:
        held = self._held.get(name)
        if held is None:
            return
        workload, _, attempt = name.rpartition(".")
        try:
            standing = await self._gateway.report(held, steps)
        except NotFoundError:
            # It is another worker's, or nobody's any more: whatever we still do for it is worth nothing.
            log.warning("lease.lost", run=name, lease=held.number)
            self._forget(name)
            await self._end(workload, int(attempt))
            return
        self._said[name] = time.monotonic()
        if steps[-1].step is StepName.DONE:
            self._forget(name)
        elif standing.ending is not None:
            await self._end(workload, int(attempt))

    async def _end(self, workload: str, attempt: int) -> None:
        ending = self.end(workload, attempt)
        if asyncio.iscoroutine(ending):
            await ending

    def _forget(self, name: str) -> None:
        self._held.pop(name, None)
        self._said.pop(name, None)

    # --- what runs say ------------------------------------------------------------------------------------------

    async def keep(
        self,
        subject: str,
        payload: bytes,
        message: str,  # noqa: ARG002 (what is said twice is harmless)
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Pass a report or some output on, until the gateway has it; what belongs to a lost lease is dropped."""
        kind, workload, attempt, rest = subject.split(".")
        name = f"{workload}.{attempt}"
        if kind == "runs":
            report = RunReport.model_validate_json(payload, extra="ignore")
            await self._patiently(name, lambda: self._report(name, report.steps))
        elif kind == "logs":
            known = headers or {}
            printed = {
                "stream": rest,
                "offset": int(known.get(LogChunk.OFFSET, "0")),
                "data": base64.b64encode(payload).decode(),
                "end": LogChunk.END in known,
            }
            await self._patiently(name, lambda: self._print(name, printed))

    async def _print(self, name: str, printed: dict[str, Any]) -> None:
        if held := self._held.get(name):
            with suppress(RefusedError):  # the archived log has all of it
                await self._gateway.post(held, "logs", printed, _Anything)

    async def published(self, subject: str) -> int:  # noqa: ARG002 (nobody can tell us)
        """Begin to publish from the start: those who follow pass over what they had."""
        return 0

    async def _patiently(self, name: str, call: Callable[[], Any]) -> None:
        tries = 0
        while name in self._held:
            try:
                await call()
            except UnavailableError as error:
                if tries in {1, 10, 100, 1000}:
                    log.warning("gateway.away", run=name, detail=error.detail, tries=tries)
                self.note(up=False)
                await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
            except RefusedError as error:
                log.warning("report.refused", run=name, detail=error.detail)
                return
            else:
                self.note(up=True)
                return

    # --- files --------------------------------------------------------------------------------------------------

    async def ask(self, query: Query, *, timeout: float = 10.0) -> Any:  # noqa: ARG002 (the client has its own)
        """Ask for URLs of inputs, or for an upload."""
        if isinstance(query, DownloadRunInputs):
            wish = {"targets": [item.target for item in query.inputs]}
            return await self._gateway.post(Held.read(query.ticket), "downloads", wish, RunDownloads)
        if isinstance(query, OpenRunUpload):
            wish = query.model_dump(mode="json", exclude={"ticket"})
            plan = await self._gateway.post(Held.read(query.ticket), "uploads", wish, UploadPlan)
            return plan.model_copy(update={"ticket": f"{query.ticket}{_MARK}{plan.ticket}"})
        raise InternalError(f"a worker asks for no {query.name}")

    async def order(self, command: Command, context: Context, *, wait: float, answer: Any) -> Any:  # noqa: ARG002
        """Complete an upload."""
        if not isinstance(command, CompleteUpload):
            raise InternalError(f"a worker orders no {command.name}")
        lease, _, ticket = command.ticket.partition(_MARK)
        done = {"ticket": ticket, "parts": [part.model_dump(mode="json") for part in command.parts]}
        return await self._gateway.post(Held.read(lease), "uploads/complete", done, FileRecord)


class _Anything(Model):
    """An answer in which nothing is of interest."""

"""The reports of one run: numbered, kept in its folder, sent in order until the stream has them."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from contracts.runs import RunReport, Step, StepName, run_name
from contracts.subjects import report_subject

from .journal import RunFolder
from .link import Link

__all__ = ["Reports"]

log = structlog.get_logger(__name__)


class Reports:
    """What is said within *hold* seconds goes out as one report; the last step waits for nothing."""

    def __init__(self, *, link: Link, folder: RunFolder, workload_id: str, attempt: int, hold: float) -> None:
        self._link = link
        self._folder = folder
        self._workload_id = workload_id
        self._attempt = attempt
        self._hold = hold
        self._next = 1
        self._steps: list[Step] = []
        self._timer: asyncio.TimerHandle | None = None
        self._unsent: deque[tuple[RunReport, bytes]] = deque()
        self._sending: asyncio.Task[None] | None = None

    def resume(self) -> None:
        """Send what an earlier runner could not, and count on from there."""
        self._next = self._folder.next_number()
        for report in self._folder.read_reports():
            self._unsent.append((report, report.model_dump_json(exclude_defaults=True).encode()))
        self._start_sending()

    def say(self, step: Step) -> None:
        """Report a step, soon."""
        self._steps.append(step)
        if step.step is StepName.DONE:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._hold, self.flush)

    def flush(self) -> None:
        """Report what there is to say now."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._steps:
            return
        report = RunReport(
            workload_id=self._workload_id,
            attempt=self._attempt,
            number=self._next,
            runner=self._link.name,
            native_id=self._folder.name,
            steps=self._steps,
        )
        self._next += 1
        self._steps = []
        self._unsent.append((report, self._keep(report)))
        self._start_sending()

    def _keep(self, report: RunReport) -> bytes:
        try:
            return self._folder.write_report(report)
        except OSError as error:  # a run that filled the disk is told of all the same
            log.warning("report.not_kept", run=self._folder.name, error=str(error))
            return report.model_dump_json(exclude_defaults=True).encode()

    async def settled(self) -> None:
        """Wait until everything that was said is kept by the stream."""
        while self._sending and not self._sending.done():
            await asyncio.shield(self._sending)

    def abandon(self) -> None:
        """Stop sending; the next runner goes on with what lies in the folder."""
        self.flush()
        if self._sending:
            self._sending.cancel()

    def _start_sending(self) -> None:
        if self._unsent and (self._sending is None or self._sending.done()):
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        subject = report_subject(self._workload_id, self._attempt)
        name = run_name(self._workload_id, self._attempt)
        while self._unsent:
            report, raw = self._unsent[0]
            await self._link.keep(subject, raw, f"{name}-r{report.number}")
            try:
                self._folder.forget_report(report.number, last=report.steps[-1].step is StepName.DONE)
            except OSError as error:  # then it is said again, which is harmless
                log.warning("report.not_forgotten", run=self._folder.name, error=str(error))
            self._unsent.popleft()

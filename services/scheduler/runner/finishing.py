"""What is done after a run's process has ended: output published, outputs and logs taken home, the last word found."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from contracts.model import now
from contracts.runs import RunTask, Step, StepName
from contracts.states import Reason
from contracts.workloads import OutputFile, Usage
from services.scheduler.pilot.outputs import Delivery, find_logs, find_outputs
from services.scheduler.pilot.process import Exit

from .carrier import Carrier
from .disk import FULL, is_full
from .journal import RunFolder, Verdict
from .output import LiveOutput

if TYPE_CHECKING:
    from .transfer import Transfer

__all__ = ["BRINGS_OUTPUTS", "Finishing", "judge", "outran", "with_problem"]

BRINGS_OUTPUTS = {Reason.EXITED, Reason.SIGNALED, Reason.WALLTIME, Reason.MEMORY}
"""Ends after which outputs go home; what was left by a failed run may be worth something."""

log = structlog.get_logger(__name__)


def judge(ended: Exit, verdict: Verdict | None) -> Verdict:
    """Say why a run ended."""
    if verdict:
        return verdict
    if ended.code is None:
        return Verdict(reason=Reason.INTERRUPTED, message="the process and its runner were lost together")
    if ended.signaled:
        return Verdict(reason=Reason.SIGNALED, message=f"ended by {signal.Signals(ended.code - 128).name}")
    return Verdict(reason=Reason.EXITED, message=ended.message or (f"exited with {ended.code}" if ended.code else ""))


def outran(ended: Exit, verdict: Verdict | None) -> bool:
    """Say whether a program that nobody made end was faster than who wanted to: then its own end counts.

    A cancel counts all the same.
    """
    if verdict is None or verdict.reason is Reason.CANCELED:
        return False
    return ended.code is not None and not ended.signaled


class Finishing:
    """The last part of one run."""

    def __init__(self, *, task: RunTask, folder: RunFolder, carrier: Carrier, live: LiveOutput) -> None:
        self._task = task
        self._folder = folder
        self._carrier = carrier
        self._live = live
        self._canceled: Verdict | None = None
        self._delivering: asyncio.Task[tuple[list[OutputFile], list[str]]] | None = None

    def cancel(self, verdict: Verdict) -> None:
        """Take no more outputs home; the logs still go."""
        self._canceled = verdict
        if self._delivering:
            self._delivering.cancel()

    async def finish(self, ended: Exit, usage: Usage, verdict: Verdict | None, *, within: float | None) -> Step:
        """Return the last step; *within* limits the seconds that all this takes."""
        last = judge(ended, verdict)
        if ended.code and last.reason is Reason.EXITED and is_full(self._folder.path):
            # What it said of that had no room either.
            last = Verdict(reason=last.reason, message=f"{last.message}; {FULL}")
        logs: list[OutputFile] = []
        outputs: list[OutputFile] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                files = find_logs(self._folder, self._task.attempt)
                wanted = self._task.outputs if last.reason in BRINGS_OUTPUTS else []
                if files or wanted:
                    logs, outputs, last = await self._take_home(files, last, succeeded=ended.code == 0)
                else:
                    await self._live.finish()
        last = self._canceled or last
        return Step(
            step=StepName.DONE,
            at=now(),
            exit_code=ended.code,
            reason=last.reason,
            message=last.message,
            usage=usage,
            tail=self._live.news(),
            outputs=outputs,
            logs=logs,
        )

    async def _take_home(
        self, logs: list[Delivery], last: Verdict, *, succeeded: bool
    ) -> tuple[list[OutputFile], list[OutputFile], Verdict]:
        transfer = self._carrier.transfer(self._task)
        stored, (outputs, problem), _ = await asyncio.gather(
            self._logs(transfer, logs), self._outputs(transfer, last), self._live.finish()
        )
        return stored, outputs, with_problem(last, problem, succeeded=succeeded)

    async def _logs(self, transfer: Transfer, logs: list[Delivery]) -> list[OutputFile]:
        stored, problems = await transfer.deliver(logs)
        for problem in problems:
            log.warning("log.refused", run=self._folder.name, detail=problem)
        return stored

    async def _outputs(self, transfer: Transfer, last: Verdict) -> tuple[list[OutputFile], str]:
        """Return what was taken home, and what went wrong."""
        if last.reason not in BRINGS_OUTPUTS or not self._task.outputs or self._canceled:
            return [], ""
        try:
            found, missing = await asyncio.to_thread(find_outputs, self._task.outputs, self._folder.work)
            if self._canceled:
                return [], ""
            self._delivering = asyncio.create_task(transfer.deliver(found))
            stored, problems = await self._delivering
        except asyncio.CancelledError:
            if self._canceled is None:
                raise
            return [], ""
        if missing:
            problems.append(f"required outputs are missing: {', '.join(missing)}")
        return stored, "; ".join(problems)


def with_problem(last: Verdict, problem: str, *, succeeded: bool) -> Verdict:
    """Make a success whose outputs did not come home a failure; a failure stays what it was."""
    if not problem:
        return last
    if last.reason is Reason.EXITED and succeeded:
        return Verdict(reason=Reason.STAGING, message=problem)
    return Verdict(reason=last.reason, message=f"{last.message}; {problem}")

"""What is done after a run's process has ended: output published, outputs and logs taken home, the last word found."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from .folder import RunFolder
from .link import complain
from .means import Means
from .output import LiveOutput
from .outputs import Delivery, find_logs, find_outputs
from .patience import Patience
from .process import Exit
from .words import OutputFile, Step, Task, Usage, stamp

__all__ = ["BRINGS_OUTPUTS", "Finishing", "Verdict", "judge", "outran", "with_problem"]

BRINGS_OUTPUTS = {"exited", "signaled", "walltime", "memory"}
"""Ends after which outputs go home; what was left by a failed run may be worth something."""


_LITTLE = 2**18
"""Bytes on a disk with which no program gets far."""


@dataclass(frozen=True)
class Verdict:
    """Why a run ended, or is being ended before its time."""

    reason: str
    message: str = ""


def judge(ended: Exit, verdict: Verdict | None) -> Verdict:
    """Say why a run ended."""
    if verdict:
        return verdict
    if ended.code is None:
        return Verdict("interrupted", "nobody saw how the process ended")
    if ended.signaled:
        return Verdict("signaled", f"ended by {signal.Signals(ended.code - 128).name}")
    return Verdict("exited", ended.message or (f"exited with {ended.code}" if ended.code else ""))


def outran(ended: Exit, verdict: Verdict | None) -> bool:
    """Say whether a program that nobody made end was faster than who wanted to: then its own end counts.

    A cancel counts all the same; and where a cluster wants its room back, it may have asked the program before us.
    """
    if verdict is None or verdict.reason in {"canceled", "interrupted"}:
        return False
    return ended.code is not None and not ended.signaled


def with_problem(last: Verdict, problem: str, *, succeeded: bool) -> Verdict:
    """Make a success whose outputs did not come home a failure; a failure stays what it was."""
    if not problem:
        return last
    if last.reason == "exited" and succeeded:
        return Verdict("staging", problem)
    return Verdict(last.reason, f"{last.message}; {problem}")


class Finishing:
    """The last part of one run."""

    def __init__(self, *, task: Task, folder: RunFolder, means: Means, live: LiveOutput) -> None:
        self._task = task
        self._folder = folder
        self._means = means
        self._live = live
        self._canceled: Verdict | None = None
        self._delivering: asyncio.Task[tuple[list[OutputFile], list[str]]] | None = None

    def cancel(self, verdict: Verdict) -> None:
        """Take no more outputs home; the logs still go."""
        self._canceled = verdict
        if self._delivering:
            self._delivering.cancel()

    async def finish(self, ended: Exit, usage: Usage, verdict: Verdict | None, patience: Patience) -> Step:
        """Return the last step."""
        last = judge(ended, verdict)
        if ended.code and last.reason == "exited" and _is_full(self._folder.path):
            # What it said of that had no room either.
            last = Verdict(last.reason, f"{last.message}; the disk of its node is full")
        taken = await patience.wait(self._take_home(last, succeeded=ended.code == 0))
        if taken is None and ended.code == 0 and self._brings(last):
            last = Verdict("interrupted", "the cluster ended its job before its outputs were home")
        logs, outputs, last = taken or ([], [], last)
        last = self._canceled or last
        return Step(
            step="done",
            at=stamp(time.time()),
            exit_code=ended.code,
            reason=last.reason,
            message=last.message,
            usage=usage,
            tail=self._live.news(),
            outputs=outputs,
            logs=logs,
        )

    async def _take_home(self, last: Verdict, *, succeeded: bool) -> tuple[list[OutputFile], list[OutputFile], Verdict]:
        logs = find_logs(self._folder, self._task.attempt)
        brings = self._brings(last)
        if not logs and not brings:
            await self._live.finish()
            return [], [], last
        stored, (outputs, problem), _ = await asyncio.gather(
            self._logs(logs), self._outputs(brings=brings), self._live.finish()
        )
        return stored, outputs, with_problem(last, problem, succeeded=succeeded)

    def _brings(self, last: Verdict) -> bool:
        return bool(self._task.outputs) and last.reason in BRINGS_OUTPUTS

    async def _logs(self, logs: list[Delivery]) -> list[OutputFile]:
        stored, problems = await self._means.transfer(self._task).deliver(logs)
        for problem in problems:
            complain(f"a log of {self._task.name} is not kept: {problem}")
        return stored

    async def _outputs(self, *, brings: bool) -> tuple[list[OutputFile], str]:
        """Return what was taken home, and what went wrong."""
        if not brings or self._canceled:
            return [], ""
        loop = asyncio.get_running_loop()
        try:
            found, missing = await loop.run_in_executor(None, find_outputs, self._task.outputs, self._folder.work)
            if self._canceled:
                return [], ""
            self._delivering = loop.create_task(self._means.transfer(self._task).deliver(found))
            stored, problems = await self._delivering
        except asyncio.CancelledError:
            if self._canceled is None:
                raise
            return [], ""
        if missing:
            problems.append(f"required outputs are missing: {', '.join(missing)}")
        return stored, "; ".join(problems)


def _is_full(place: Path) -> bool:
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _LITTLE

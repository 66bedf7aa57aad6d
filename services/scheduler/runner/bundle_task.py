"""One task of a bundle while it runs: its process, what it uses, and why it is ended before its time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from contracts.holdings import Allocation, OutputFile, Usage
from contracts.states import Reason
from contracts.tasks import TaskFact, TaskLog, TaskState
from services.scheduler.pilot.killing import STUCK, end_leftovers, end_tree, kill_tree
from services.scheduler.pilot.process import Exit, read_exit
from services.scheduler.pilot.sampling import sample

from .bundle_folder import Key
from .finishing import judge, outran
from .isolation.isolation import leave, overrun
from .journal import RunFolder, Verdict
from .means import Means
from .process import Child, end_of
from .sampling import Meter

__all__ = ["BundleTask", "ended_fact"]


class BundleTask:
    """A task from the moment it has room until its process has ended."""

    def __init__(
        self,
        *,
        key: Key,
        folder: RunFolder,
        means: Means,
        allocation: Allocation,
        started_at: datetime,
        age: float | None = None,
        boxed: bool = False,
    ) -> None:
        """*boxed*: its program runs in a container, which holds it to its memory."""
        self.key = key
        self.folder = folder
        self.allocation = allocation
        self.started_at = started_at
        self.verdict: Verdict | None = None
        self.is_told = False
        """Whether it was reported to be running."""
        self._means = means
        self._boxed = boxed
        self._meter = Meter(
            started_at=started_at, age=age, gpus=means.gpus, indices=allocation.gpu_indices, boxed=boxed
        )
        self._child: Child | None = None
        self._waiting: asyncio.Task[Exit] | None = None
        self._ending: asyncio.Task[bool] | None = None

    @property
    def age(self) -> float:
        """Return the seconds since it began."""
        return self._meter.elapsed

    def end(self, reason: Reason, message: str, grace: float | None = None) -> None:
        """End it before its time; the first reason counts, and what has ended by itself can only be canceled."""
        has_ended = reason is not Reason.CANCELED and read_exit(self.folder).code is not None
        if self.verdict is None and not has_ended:
            self.verdict = Verdict(reason=reason, message=message)
            if self._child is not None:
                self._ending = asyncio.create_task(self._end_processes(grace))

    async def _end_processes(self, grace: float | None) -> bool:
        grace = self._means.section.grace if grace is None else grace
        minds = await end_tree(self._means.census, self.folder.name, grace, self._meter.look)
        if self._waiting:
            await asyncio.wait({self._waiting}, timeout=STUCK)
            self._waiting.cancel()
        return minds

    async def follow(self, child: Child, walltime: float) -> tuple[Exit, Usage]:
        """See its process to its end; return how that was and what it used."""
        census = self._means.census
        self._child = child
        census.roots[self.folder.name] = child.pid
        timer = asyncio.get_running_loop().call_later(
            max(0.0, walltime - self.age), self.end, Reason.WALLTIME, f"it ran longer than {walltime:g} s"
        )
        self._waiting = asyncio.create_task(child.wait())
        try:
            await asyncio.wait({self._waiting})
            ended = read_exit(self.folder) if self._waiting.cancelled() else self._waiting.result()
            if self._ending and not await self._ending and outran(ended, self.verdict):
                self.verdict = None
        except asyncio.CancelledError:
            self._waiting.cancel()
            await kill_tree(census, self.folder.name)
            raise
        finally:
            timer.cancel()
            census.roots.pop(self.folder.name, None)
            child.close()
        await end_leftovers(census, self.folder.name)
        usage = self._meter.at_end(ended)
        if self.verdict is None and ended.code and (message := overrun(self.folder, self.allocation.memory)):
            self.verdict = Verdict(reason=Reason.MEMORY, message=message)
        await leave(self.folder)
        return ended, usage

    def look(self, memory: int | None) -> None:
        """Measure it, and end it if it holds more than it asked for."""
        memory = None if self._boxed else memory
        if why := sample(census=self._means.census, run=self.folder.name, meter=self._meter, memory=memory):
            self.end(Reason.MEMORY, why)

    def so_far(self) -> Usage:
        """Return what it used up to now."""
        return self._meter.so_far()

    def running_fact(self) -> TaskFact:
        """Say that it runs."""
        self.is_told = True
        index, attempt = self.key
        return TaskFact(index=index, attempt=attempt, state=TaskState.RUNNING, started_at=self.started_at)


def ended_fact(
    task: BundleTask, ended: Exit, usage: Usage, last: Verdict | None, *, outputs: list[OutputFile], logs: list[TaskLog]
) -> TaskFact:
    """Say how a task ended."""
    found = last or judge(ended, task.verdict)
    index, attempt = task.key
    return TaskFact(
        index=index,
        attempt=attempt,
        state=_state_of(found.reason, ended.code),
        reason=found.reason,
        message=found.message,
        exit_code=ended.code,
        started_at=task.started_at,
        finished_at=end_of(ended, task.started_at).astimezone(UTC),
        usage=usage,
        gpu_model=task.allocation.gpu_model or None,
        outputs=outputs,
        logs=logs,
    )


def _state_of(reason: Reason, code: int | None) -> TaskState:
    if reason is Reason.EXITED:
        return TaskState.SUCCEEDED if code == 0 else TaskState.FAILED
    if reason is Reason.CANCELED:
        return TaskState.CANCELED
    return TaskState.LOST if reason is Reason.INTERRUPTED else TaskState.FAILED

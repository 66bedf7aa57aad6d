"""One task of a bundle: from its folder to the fact that tells its end."""

from __future__ import annotations

import asyncio
import time

from .finishing import Verdict, judge, outran
from .folder import RunFolder
from .killing import end_leftovers, end_tree, kill_tree
from .means import Means
from .process import Child, Exit, read_exit
from .sampling import Meter, sample
from .words import OutputFile, TaskFact, TaskLog, Usage, stamp

__all__ = ["BundleTask"]

_STATES = {"canceled": "canceled", "interrupted": "lost"}


class BundleTask:
    """A task from the moment it has a slot until its process has ended."""

    def __init__(self, *, key: tuple[int, int], folder: RunFolder, means: Means) -> None:
        self.key = key
        self.folder = folder
        self.verdict: Verdict | None = None
        self.is_told = False
        """Whether it was reported to be running."""
        self._means = means
        self._started = time.time()
        self._meter = Meter(means.gpus, 0.0, Usage)
        self._child: Child | None = None
        self._ending: asyncio.Task[bool] | None = None

    @property
    def age(self) -> float:
        """Return the seconds since it began."""
        return self._meter.elapsed

    def end(self, reason: str, message: str, grace: float | None = None) -> None:
        """End it before its time; the first reason counts, and what has ended by itself can only be canceled."""
        has_ended = reason != "canceled" and read_exit(self.folder).code is not None
        if self.verdict is None and not has_ended:
            self.verdict = Verdict(reason, message)
            if self._child is not None:
                grace = self._means.terms.grace if grace is None else grace
                ending = end_tree(self._means.census, self.folder.name, grace, self._meter.look)
                self._ending = asyncio.get_running_loop().create_task(ending)

    async def follow(self, child: Child, walltime: float) -> tuple[Exit, Usage]:
        """See its process to its end; return how that was and what it used."""
        census, loop = self._means.census, asyncio.get_running_loop()
        self._child = child
        census.roots[self.folder.name] = child.pid
        left = max(0.0, walltime - self.age)
        timer = loop.call_later(left, self.end, "walltime", f"it ran longer than {walltime:g} s")
        try:
            ended = await child.wait()
            if self._ending and not await self._ending and outran(ended, self.verdict):
                self.verdict = None
        except asyncio.CancelledError:
            await asyncio.shield(kill_tree(census, self.folder.name))
            raise
        finally:
            timer.cancel()
            census.roots.pop(self.folder.name, None)
        await end_leftovers(census, self.folder.name)
        return ended, self._meter.at_end(ended)

    def look(self, memory: int | None) -> None:
        """Measure it, and end it if it holds more than it asked for."""
        why = sample(census=self._means.census, run=self.folder.name, meter=self._meter, memory=memory)
        if why:
            self.end("memory", why)

    def so_far(self) -> Usage:
        """Return what it used up to now."""
        return self._meter.so_far()

    def running_fact(self) -> TaskFact:
        """Say that it runs."""
        self.is_told = True
        index, attempt = self.key
        return TaskFact(index=index, attempt=attempt, state="running", started_at=stamp(self._started))

    def never_ran(self, verdict: Verdict) -> TaskFact:
        """Say that it came to nothing."""
        index, attempt = self.key
        return TaskFact(
            index=index,
            attempt=attempt,
            state=_STATES.get(verdict.reason, "failed"),
            reason=verdict.reason,
            message=verdict.message,
            started_at=stamp(self._started),
            finished_at=stamp(time.time()),
            usage=self._meter.so_far(),
        )

    def ended_fact(
        self, ended: Exit, usage: Usage, last: Verdict | None, *, outputs: list[OutputFile], logs: list[TaskLog]
    ) -> TaskFact:
        """Say how it ended."""
        found = last or judge(ended, self.verdict)
        index, attempt = self.key
        succeeded = found.reason == "exited" and ended.code == 0
        return TaskFact(
            index=index,
            attempt=attempt,
            state="succeeded" if succeeded else _STATES.get(found.reason, "failed"),
            reason=found.reason,
            message=found.message,
            exit_code=ended.code,
            started_at=stamp(self._started),
            finished_at=stamp(max(ended.at, self._started)),
            usage=usage,
            gpu_model=self._means.gpus.model or None,
            outputs=outputs,
            logs=logs,
        )

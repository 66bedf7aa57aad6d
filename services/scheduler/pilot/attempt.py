"""One attempt on this node, from the moment it has room until its last report is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from . import shortage
from .environment import environment
from .errors import TroubleError
from .finishing import Finishing, Verdict, outran
from .folder import RunFolder
from .killing import STUCK, end_leftovers, end_tree, kill_tree
from .link import complain
from .means import Means
from .output import LiveOutput
from .patience import Patience, unless
from .process import Child, Exit, SpawnError, find_program, read_exit, spawn
from .reports import Reports
from .sampling import Meter, watch
from .views import View
from .words import Step, Task, Usage, stamp

__all__ = ["Attempt"]

_KILLED = 128 + 9


class Attempt:
    """Runs one task."""

    def __init__(self, *, task: Task, means: Means, freed: Callable[[], None]) -> None:
        """*freed* is called when its program has ended: its slot can be another's."""
        self.task = task
        self.name = task.name
        self.is_over = False
        """Whether its last word was said."""
        self._means = means
        self._freed = freed
        self._folder = RunFolder(means.work / task.name, task.name)
        if means.mounted and task.files == means.mounted:
            self._folder.work = Path(means.mounted)
        self._grace = means.terms.grace
        self._patience = Patience()
        self._verdict: Verdict | None = None
        self._interrupted: Verdict | None = None
        self._ending = asyncio.Event()
        self._meter: Meter[Usage] | None = None
        self._finishing: Finishing | None = None
        files = {"stdout": self._folder.stdout, "stderr": self._folder.stderr}
        self._reports = Reports(link=means.link, task=task, hold=means.terms.hold)
        self._live = LiveOutput(self._reports.keep_output, files, means.terms.live_logs)

    # --- what others may ask of it ----------------------------------------------------------------------------

    def end(self, reason: str, message: str) -> None:
        """End it before its time. The first reason counts; what has ended by itself can only be canceled."""
        if self.is_over or self._verdict or (reason != "canceled" and self._has_ended()):
            return
        self._verdict = Verdict(reason, message)
        self._ending.set()
        if self._finishing:
            self._finishing.cancel(self._verdict)

    def end_tasks(self, tasks: str) -> None:
        """Do nothing: it is one program."""

    def interrupt(self, *, within: float) -> None:
        """End it because the cluster wants its room back, in *within* seconds at most."""
        self._grace = min(self._grace, within / 3)
        self._patience.hurry(within / 3)
        self._interrupted = Verdict("interrupted", "the cluster ended its job")
        self.end(self._interrupted.reason, self._interrupted.message)

    async def live(self) -> None:
        """Run it. Returns when all is reported."""
        beating = asyncio.get_running_loop().create_task(self._beat())
        try:
            last = await self._run()
            self._freed()
            self._reports.say(last)
            self.is_over = True
            beating.cancel()
            await self._reports.settled()
        except asyncio.CancelledError:
            self._live.abandon()
            self._reports.abandon()
            await asyncio.shield(kill_tree(self._means.census, self.name))
            raise
        finally:
            beating.cancel()
            self._freed()
            await asyncio.get_running_loop().run_in_executor(None, self._folder.remove)

    # --- its life ---------------------------------------------------------------------------------------------

    async def _run(self) -> Step:
        try:
            self._folder.create()
            return self._early() if self._verdict else await self._start()
        except Exception as error:  # noqa: BLE001 (whoever waits for this attempt must hear of it)
            complain(f"{self.name} failed in the pilot: {type(error).__name__}: {error}")
            await kill_tree(self._means.census, self.name)
            message = f"the pilot failed: {type(error).__name__}: {error}"
            return Step(step="done", at=stamp(time.time()), reason="internal", message=message)

    async def _start(self) -> Step:
        began = time.time()
        allocation = self._means.allocation(self.task)
        if self.task.inputs:
            self._reports.say(Step(step="starting", at=stamp(began), allocation=allocation))
            try:
                await unless(self._ending, self._fetch())
            except (TroubleError, OSError) as error:
                self.end("staging", str(error))
        if self._verdict:
            return self._early(Usage(wall_seconds=time.time() - began))
        view = await self._means.views.of(self.task.files, self._folder)
        started = time.time()
        child = self._spawn(view)
        message = view.message if view else ""
        self._reports.say(Step(step="running", at=stamp(started), allocation=allocation, message=message))
        return await self._follow(child, started)

    def _has_ended(self) -> bool:
        """Say whether the program has ended, whether or not we have come to it."""
        return self._finishing is not None or read_exit(self._folder).code is not None

    def _early(self, usage: Usage | None = None) -> Step:
        """Return the last step of what never ran."""
        verdict = self._verdict or Verdict("internal", "it was not begun")
        return Step(step="done", at=stamp(time.time()), reason=verdict.reason, message=verdict.message, usage=usage)

    async def _fetch(self) -> None:
        folder = self._folder
        await self._means.transfer(self.task).fetch(self.task.inputs, folder.work, folder.temporary)

    def _spawn(self, view: View | None) -> Child | None:
        """Start the program; one that cannot be started has ended with the code that shells give."""
        task, folder, means = self.task, self._folder, self._means
        env = environment(task, folder, means.backend, given=means.given, mpirun=means.terms.mpirun)
        try:
            if view:
                argv, env = view.words(task.argv or [""], task.script, env, own=task.env)
            elif task.script is not None:
                argv = folder.write_script(task.script)
            else:
                argv = find_program(task.argv or [""], env["PATH"], folder.work)
            child = spawn(folder, argv, env)
        except SpawnError as error:
            folder.write_failure(error.code, str(error))
            return None
        means.census.roots[self.name] = child.pid
        return child

    async def _follow(self, child: Child | None, started: float) -> Step:
        """See a started run to its end."""
        self._meter = Meter(self._means.gpus, time.time() - started, Usage)
        self._live.start()
        short = shortage.kills()
        ended = await self._wait(child, self._meter) if child else read_exit(self._folder)
        self._finishing = Finishing(task=self.task, folder=self._folder, means=self._means, live=self._live)
        await end_leftovers(self._means.census, self.name)
        usage = self._meter.at_end(ended)
        self._freed()
        starved = ended.code == _KILLED and shortage.kills() > short
        verdict = self._verdict or (Verdict("memory", "the kernel ended it for want of memory") if starved else None)
        told = Step(step="exited", at=stamp(max(ended.at, started)), exit_code=ended.code, usage=usage)
        if verdict:  # nobody is to take this for a good end and hear better later
            told = replace(told, reason=verdict.reason, message=verdict.message)
        self._reports.say(told)
        last = await self._finishing.finish(ended, usage, verdict, self._patience)
        if self._interrupted and last.reason == "signaled":
            # Where a cluster tells all processes of a job to end, its program hears of that as soon as we do.
            return replace(last, reason=self._interrupted.reason, message=self._interrupted.message)
        return last

    async def _wait(self, child: Child, meter: Meter[Usage]) -> Exit:
        """Wait for the process, or end it."""
        loop, census = asyncio.get_running_loop(), self._means.census
        waiting = loop.create_task(child.wait())
        watching = loop.create_task(self._watch())
        why = f"it ran longer than {self.task.walltime:g} s"
        timer = loop.call_later(self.task.walltime, self.end, "walltime", why)
        try:
            await unless(self._ending, waiting)
            minds = False
            if not (waiting.done() or self._has_ended()):
                minds = await end_tree(census, self.name, self._grace, meter.look)
            await asyncio.wait({waiting}, timeout=STUCK)
            ended = waiting.result() if waiting.done() else read_exit(self._folder)
            if not minds and outran(ended, self._verdict):
                self._verdict = None
            return ended
        finally:
            timer.cancel()
            watching.cancel()
            waiting.cancel()
            census.roots.pop(self.name, None)

    async def _watch(self) -> None:
        assert self._meter
        await watch(
            census=self._means.census,
            run=self.name,
            meter=self._meter,
            every=self._means.terms.sample_every,
            memory=self.task.memory,
            end=partial(self.end, "memory"),
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._means.terms.heartbeat)
            if not self._reports.is_behind:
                usage = self._meter.so_far() if self._meter else None
                self._reports.say(Step(step="alive", at=stamp(time.time()), usage=usage, tail=self._live.news()))

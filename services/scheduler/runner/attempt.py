"""One attempt on this node, from the moment it has room until its last report is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from contracts.errors import ShunterError
from contracts.model import now
from contracts.runs import RunTask, Step, StepName
from contracts.states import Reason
from contracts.workloads import Allocation, Usage
from services.scheduler.pilot.killing import STUCK, end_leftovers, end_tree, kill_tree
from services.scheduler.pilot.patience import unless
from services.scheduler.pilot.process import Exit, SpawnError, find_program, read_exit
from services.scheduler.pilot.sampling import watch
from services.scheduler.pilot.views import View

from .census import age_of, start_of
from .disk import FULL, is_full
from .environment import environment, in_image
from .errors import NoBoxError
from .finishing import Finishing, outran
from .isolation.isolation import leave, overrun
from .journal import ProcessName, RunFolder, Start, Verdict
from .means import Means
from .output import LiveOutput
from .process import Child, end_of, spawn
from .reports import Reports
from .sampling import Meter
from .system import boot_id

if TYPE_CHECKING:
    from .containers.containers import Containers

__all__ = ["Attempt"]

log = structlog.get_logger(__name__)


class Attempt:
    """Runs one task. Whatever matters lies in its folder, so that another runner can go on."""

    def __init__(
        self,
        *,
        task: RunTask,
        folder: RunFolder,
        means: Means,
        release: Callable[[Allocation], None],
    ) -> None:
        link, section = means.link, means.section
        self.task = task
        self.name = folder.name
        self.is_over = False
        """Whether the last report was written."""
        self.reason = Reason.INTERNAL
        """Why it ended, once it is over."""
        self._folder = folder
        self._carrier = means.carrier
        self._census = means.census
        self._gpus = means.gpus
        self._views = means.views
        self._containers = means.containers if task.image else None
        self._cell = None if self._containers else means.isolation.cell
        self._section = section
        self._release = release
        self._grace = section.grace
        self._allocation: Allocation | None = None
        self._limit: float | None = None
        self._verdict: Verdict | None = None
        self._was_asked = False
        """Whether an earlier runner may have asked the program to end; what came of that is not known."""
        self._ending = asyncio.Event()
        self._meter: Meter | None = None
        self._finishing: Finishing | None = None
        self._live = LiveOutput(
            link=link,
            workload_id=task.workload_id,
            attempt=task.attempt,
            name=folder.name,
            files={"stdout": folder.stdout, "stderr": folder.stderr},
            cap=section.live_logs,
        )
        self._reports = Reports(
            link=link, folder=folder, workload_id=task.workload_id, attempt=task.attempt, hold=section.hold
        )

    @property
    def is_decided(self) -> bool:
        """Say whether it is to be ended, for whatever reason."""
        return self._verdict is not None

    # --- what others may ask of it ----------------------------------------------------------------------------

    def end(self, reason: Reason, message: str) -> None:
        """End it before its time. The first reason counts; what has ended by itself can only be canceled."""
        if self.is_over or self._verdict or (reason is not Reason.CANCELED and self._has_ended()):
            return
        self._decide(Verdict(reason=reason, message=message, asked=False))
        self._ending.set()
        if self._finishing and self._verdict:
            self._finishing.cancel(self._verdict)

    def _decide(self, verdict: Verdict) -> None:
        self._verdict = verdict
        with suppress(OSError):  # on a full disk it is ended all the same
            self._folder.write_verdict(verdict)

    def interrupt(self, *, within: float) -> None:
        """End it because the runner stops, in *within* seconds at most."""
        self._grace = min(self._grace, within / 3)
        self._limit = within / 3
        self.end(Reason.INTERRUPTED, "the runner was stopped")

    async def live(self, allocation: Allocation | None, *, resume: bool = False) -> None:
        """Run it; without an *allocation* only say why not. Returns when all is reported."""
        self._allocation = allocation
        beating = asyncio.create_task(self._beat())
        try:
            if resume:
                self._reports.resume()
            if not (resume and self._folder.is_told):
                last = await self._run(resume=resume)
                self.reason = last.reason or self.reason
                self._give_back()
                self._reports.say(last)
            self.is_over = True
            beating.cancel()
            await self._reports.settled()
        except asyncio.CancelledError:
            self._live.abandon()
            self._reports.abandon()
            raise
        finally:
            beating.cancel()
            self._give_back()

    def recover(self) -> Allocation | None:
        """Remember why it was being ended, and return the room it holds if its process was started."""
        self._verdict = self._folder.read_verdict()
        if self._verdict:
            self._was_asked = self._verdict.asked
            self._ending.set()
        start = self._folder.read_start()
        return start.allocation if start else None

    # --- its life ---------------------------------------------------------------------------------------------

    async def _run(self, *, resume: bool) -> Step:
        try:
            start = self._folder.read_start() if resume and self._allocation else None
            if start:
                return await self._follow(start, self._find(start), resume=True)
            if self._allocation and not self._verdict:
                return await self._start(self._allocation)
            return self._early()
        except Exception as error:
            log.exception("run.failed", run=self.name)
            await kill_tree(self._census, self.name)
            await self._leave()
            reason, message = Reason.INTERNAL, f"the runner failed: {type(error).__name__}: {error}"
            if isinstance(error, OSError) and is_full(self._folder.path):
                reason, message = Reason.STAGING, FULL
            return Step(step=StepName.DONE, at=now(), reason=reason, message=message)

    async def _start(self, allocation: Allocation) -> Step:
        began = now()
        if self.task.inputs or self._containers:
            self._reports.say(Step(step=StepName.STARTING, at=began, allocation=allocation))
            try:
                await unless(self._ending, self._fetch())
            except NoBoxError as error:
                self.end(error.reason, str(error))
            except (ShunterError, OSError) as error:
                self.end(Reason.STAGING, str(error))
        if self._verdict:
            return self._early(Usage(wall_seconds=(now() - began).total_seconds()))
        start = Start(boot=boot_id(), started_at=now(), allocation=allocation)
        boxed = self._cell.can_show_at(self.task.files or "") if self._cell and self._cell.is_boxed else None
        view = None if self._containers else await self._views.of(self.task.files, self._folder, boxed=boxed)
        said = [part.message for part in (view, self._cell) if part and part.message]
        self._folder.write_start(start)
        return await self._follow(start, self._spawn(start, view), message="; ".join(said))

    def _has_ended(self) -> bool:
        """Say whether the program has ended, whether or not we have come to it."""
        return self._finishing is not None or read_exit(self._folder).code is not None

    def _as_found(self) -> Exit:
        """Return how it ended while nobody was there."""
        ended = read_exit(self._folder)
        return ended if self._was_told(ended) else self._unless_outrun(ended)

    def _was_told(self, ended: Exit) -> bool:
        """Say whether an earlier runner told it to end: it decides that first, and tells the wrapper before others."""
        return self._was_asked and ended.told

    def _unless_outrun(self, ended: Exit) -> Exit:
        """Take back why it was to be ended, if the program was faster."""
        if outran(ended, self._verdict):
            self._verdict = None
            self._folder.remove_verdict()
        return ended

    def _give_back(self) -> None:
        """Give the room back, once."""
        if self._allocation:
            self._release(self._allocation)
            self._allocation = None

    def _early(self, usage: Usage | None = None) -> Step:
        """Return the last step of what never ran."""
        verdict = self._verdict or Verdict(reason=Reason.INTERNAL, message="there was no room")
        return Step(step=StepName.DONE, at=now(), reason=verdict.reason, message=verdict.message, usage=usage)

    async def _fetch(self) -> None:
        transfer = self._carrier.transfer(self.task)
        await transfer.fetch(self.task.inputs, self._folder.work, self._folder.temporary)
        if self._containers and self.task.image:
            await self._containers.prepare(self.task.image, self._folder)

    def _spawn(self, start: Start, view: View | None) -> Child | None:
        """Start the program; one that cannot be started has ended with the code that shells give."""
        section, task = self._section, self.task
        env = environment(
            task,
            self._folder,
            start.allocation,
            path=section.path,
            inherit=section.inherit,
            has_gpus=bool(self._gpus.list()),
        )
        try:
            if self._containers:
                argv, env = self._contain(self._containers, start.allocation, env)
            elif view:
                argv, env = view.words(task.argv, task.script, env, own=task.env)
            elif task.script is not None:
                argv = self._folder.write_script(task.script)
            else:
                argv = find_program(task.argv or [""], env["PATH"], self._folder.work)
            if self._cell:
                place = view.place if view and view.mounts else None
                reads = [self._folder.script]
                argv, env = self._cell.enter(self._folder, argv, env, start.allocation, reads=reads, place=place)
            child = spawn(self._folder, argv, env)
        except SpawnError as error:
            self._folder.write_failure(error.code, str(error))
            return None
        self._folder.write_process(ProcessName(child.pid, start_of(child.pid) or 0))
        return child

    def _contain(
        self, containers: Containers, allocation: Allocation, env: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        task = self.task
        if task.script is not None:
            self._folder.write_script(task.script)
        return containers.enter(
            self._folder,
            image=task.image or "",
            words=None if task.script is not None else task.argv or [""],
            env=in_image(task, env),
            place=task.files,
            inputs=[item.target for item in task.inputs],
            outputs=task.outputs,
            allocation=allocation,
        )

    async def _leave(self) -> None:
        """Leave nothing of the run behind on this node; hear what its container knows of its end."""
        fate = await self._containers.leave(self._folder) if self._containers else None
        if fate is not None and self._verdict is None:
            self._verdict = fate
            self._folder.write_verdict(fate)
        await leave(self._folder)

    def _find(self, start: Start) -> Child | None:
        """Return the process that an earlier runner started, if it still runs."""
        if start.boot != boot_id():
            return None
        known = self._folder.read_process()
        if known:
            pid = known.pid if start_of(known.pid) == known.started else 0
        else:
            # The earlier runner died between starting it and writing its number down.
            pid = next((m.proc.pid for m in self._census.members(self.name) if m.proc.pid == m.proc.session), 0)
        with suppress(ProcessLookupError):
            return Child(self._folder, pid, ours=False) if pid else None
        return None

    async def _follow(self, start: Start, child: Child | None, *, resume: bool = False, message: str = "") -> Step:
        """See a started run to its end."""
        allocation = start.allocation
        if child:
            self._census.roots[self.name] = child.pid
        age = age_of(child.pid) if child and resume else None
        self._meter = Meter(
            started_at=start.started_at,
            age=age,
            gpus=self._gpus,
            indices=allocation.gpu_indices,
            boxed=self._containers is not None,
        )
        self._live.start(resume=resume)
        self._reports.say(Step(step=StepName.RUNNING, at=start.started_at, allocation=allocation, message=message))
        ended = await self._wait(child, self._meter) if child else self._as_found()
        self._finishing = Finishing(task=self.task, folder=self._folder, carrier=self._carrier, live=self._live)
        await end_leftovers(self._census, self.name)
        usage = self._meter.at_end(ended)
        if self._verdict is None and ended.code and (message := overrun(self._folder, allocation.memory)):
            self._verdict = Verdict(reason=Reason.MEMORY, message=message)
            self._folder.write_verdict(self._verdict)
        await self._leave()
        self._give_back()
        last = Step(step=StepName.EXITED, at=end_of(ended, start.started_at), exit_code=ended.code, usage=usage)
        if verdict := self._verdict:  # nobody is to take this for a good end and hear better later
            last = last.model_copy(update={"reason": verdict.reason, "message": verdict.message})
        self._reports.say(last)
        # Only what is said to have ended for that has to be told before we stop: else the next runner goes on with it.
        return await self._finishing.finish(ended, usage, verdict, within=self._limit if verdict else None)

    async def _wait(self, child: Child, meter: Meter) -> Exit:
        """Wait for the process, or end it."""
        waiting = asyncio.create_task(child.wait())
        watching = asyncio.create_task(self._watch())
        timer = asyncio.get_running_loop().call_later(
            max(0.0, self.task.walltime - meter.elapsed),
            self.end,
            Reason.WALLTIME,
            f"it ran longer than {self.task.walltime:g} s",
        )
        try:
            await unless(self._ending, waiting)
            minds = False
            if not (waiting.done() or self._has_ended()):
                if self._verdict:  # a runner that finds it is to know
                    self._decide(self._verdict.model_copy(update={"asked": True}))
                minds = await end_tree(self._census, self.name, self._grace, meter.look)
            await asyncio.wait({waiting}, timeout=STUCK)
            ended = waiting.result() if waiting.done() else read_exit(self._folder)
            return ended if minds or self._was_told(ended) else self._unless_outrun(ended)
        except asyncio.CancelledError:
            await kill_tree(self._census, self.name)
            raise
        finally:
            timer.cancel()
            watching.cancel()
            waiting.cancel()
            self._census.roots.pop(self.name, None)
            child.close()

    async def _watch(self) -> None:
        assert self._meter
        await watch(
            census=self._census,
            run=self.name,
            meter=self._meter,
            every=self._section.sample_every,
            # In a container the kernel holds it.
            memory=None if self._containers else self.task.memory,
            end=partial(self.end, Reason.MEMORY),
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._section.heartbeat)
            usage = self._meter.so_far() if self._meter else None
            self._reports.say(Step(step=StepName.ALIVE, at=now(), usage=usage, tail=self._live.news()))

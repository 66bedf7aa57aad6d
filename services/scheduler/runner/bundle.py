"""A bundle of tasks of one array on this node: run side by side as there is room, told of in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol

import structlog

from contracts.holdings import Allocation, OutputFile
from contracts.model import now
from contracts.ranges import Ranges
from contracts.runs import RunBundle, RunTask, Step, StepName
from contracts.states import Reason
from contracts.tasks import TaskFact, TaskState, pack_path
from services.scheduler.pilot.outputs import Delivery

from .bundle_folder import BundleFolder, Key
from .bundle_lane import Lane
from .bundle_recovery import Recovered, recover
from .bundle_task import BundleTask
from .bundle_texts import BundleTexts
from .journal import RunFolder, Verdict
from .means import Means
from .output import LiveOutput
from .reports import Reports

__all__ = ["BundleRun", "Desk"]

_TELL_EVERY = 0.2
"""Seconds for which ends are gathered into one report."""
_TELL_AT = 250
"""Ends that wait for no others."""
_WORTH_TELLING = 0.1
"""Seconds that a task must have run before it is told to be running: shorter ones are told with their end."""

log = structlog.get_logger(__name__)


class Desk(Protocol):
    """Who gives room to bundles."""

    def release(self, allocation: Allocation) -> None:
        """Take room back."""

    def is_wanted(self, bundle: BundleRun) -> bool:
        """Say whether others wait for room."""

    def ask(self, bundle: BundleRun) -> None:
        """Give more room when there is some."""


class BundleRun:
    """Runs the tasks of one bundle. Whatever matters lies in its folder, so that another runner can go on."""

    def __init__(self, *, task: RunTask, folder: RunFolder, means: Means, desk: Desk) -> None:
        self.task = task
        self.name = folder.name
        self.is_over = False
        self.reason = Reason.EXITED
        self._bundle = task.bundle or RunBundle(indices="")
        self._folder = folder
        self._means = means
        self._desk = desk
        self._files = BundleFolder(folder, means.spare)
        self._texts = BundleTexts(task=task, bundle=self._bundle, folder=folder, section=means.section)
        self._pending: deque[Key] = deque(self._texts.keys())
        self._running: dict[Key, BundleTask] = {}
        self._lanes: set[asyncio.Task[None]] = set()
        self._adopted: list[Recovered] = []
        self._verdict: Verdict | None = None
        self._grace: float | None = None
        self._limit: float | None = None
        self._facts: list[TaskFact] = []
        self._room: Allocation | None = None
        self._idle = asyncio.Event()
        self._enough = asyncio.Event()
        self._news = asyncio.Event()
        self._began = False
        self._resumes = False
        attempt = task.attempt
        self._reports = Reports(
            link=means.link, folder=folder, workload_id=task.workload_id, attempt=attempt, hold=means.section.hold
        )
        self._live = LiveOutput(
            link=means.link,
            workload_id=task.workload_id,
            attempt=attempt,
            name=folder.name,
            files={"pack": self._files.pack},
            cap=means.section.live_logs,
        )
        self._lane = Lane(
            task=task, texts=self._texts, files=self._files, means=means, began=self._note_began, told=self._note_ended
        )

    @property
    def is_decided(self) -> bool:
        """Say whether it is to be ended, for whatever reason."""
        return self._verdict is not None

    @property
    def wants_room(self) -> bool:
        """Say whether another task could begin if it had room."""
        most = self._bundle.max_running or len(self._pending) + len(self._lanes)
        return bool(self._pending) and self._verdict is None and len(self._lanes) < most

    # --- what others may ask of it ----------------------------------------------------------------------------

    def end(self, reason: Reason, message: str) -> None:
        """End it before its time: what runs is ended, what waits is not begun."""
        if self.is_over or self._verdict:
            return
        self._verdict = Verdict(reason=reason, message=message)
        self._folder.write_verdict(self._verdict)
        for task in self._running.values():
            task.end(reason, message, self._grace)
        self._settle()

    def end_tasks(self, tasks: str) -> None:
        """End some tasks only."""
        wanted = Ranges.parse(tasks)
        self._files.note_canceled(wanted)
        self._drop(wanted)
        for key, task in self._running.items():
            if key[0] in wanted:
                task.end(Reason.CANCELED, "canceled on request")
        self._settle()

    def interrupt(self, *, within: float) -> None:
        """End it because the runner stops."""
        self._grace = min(self._means.section.grace, within / 3)
        self._limit = within / 3
        self.end(Reason.INTERRUPTED, "the runner was stopped")

    def give(self, allocation: Allocation) -> None:
        """Run tasks in this room, one after the other, until somebody else needs it."""
        self._start_lane(allocation, None)

    def recover(self) -> list[Allocation]:
        """Find out how far an earlier runner came; return the room that its tasks still hold."""
        self._verdict = self._folder.read_verdict()
        if self._folder.is_told:
            self._pending.clear()
            return []
        found = recover(
            task=self.task, folder=self._folder, files=self._files, means=self._means, pending=list(self._pending)
        )
        self._pending = deque(found.pending)
        self._adopted = found.running
        self._drop(self._files.canceled())
        return [item.task.allocation for item in self._adopted]

    async def live(self, _allocation: Allocation | None, *, resume: bool = False) -> None:
        """Run it until all is reported."""
        beating = asyncio.create_task(self._beat())
        telling = asyncio.create_task(self._tell_often())
        try:
            if resume:
                self._reports.resume()
            if not (resume and self._folder.is_told):
                self._resumes = resume
                self._take_over()
                self._settle()
                await self._idle.wait()
                await self._conclude()
            self.is_over = True
            await self._reports.settled()
        except asyncio.CancelledError:
            self._live.abandon()
            for lane in self._lanes:
                lane.cancel()
            await asyncio.gather(*self._lanes, return_exceptions=True)
            self._tell()
            self._reports.abandon()
            raise
        finally:
            beating.cancel()
            telling.cancel()

    # --- its life ---------------------------------------------------------------------------------------------

    def _take_over(self) -> None:
        adopted, self._adopted = self._adopted, []
        for item in adopted:
            self._start_lane(item.task.allocation, item)

    def _start_lane(self, allocation: Allocation, adopted: Recovered | None) -> None:
        if self._room is None:
            self._room = allocation.model_copy(update={"gpu_indices": []})
        if not self._began:
            self._began = True
            self._live.start(resume=self._resumes)
            message = self._means.isolation.cell.message if self._means.isolation.cell else ""
            self._reports.say(Step(step=StepName.RUNNING, at=now(), allocation=self._room, message=message))
        lane = asyncio.create_task(self._run_lane(allocation, adopted))
        self._lanes.add(lane)
        lane.add_done_callback(lambda lane: self._lane_over(lane, allocation))

    async def _run_lane(self, allocation: Allocation, adopted: Recovered | None) -> None:
        if adopted is not None:
            await self._lane.adopt(adopted)
            if self._desk.is_wanted(self):
                return
        while self._pending and self._verdict is None:
            await self._lane.run(self._pending.popleft(), allocation)
            if self._desk.is_wanted(self):
                return

    def _lane_over(self, lane: asyncio.Task[None], allocation: Allocation) -> None:
        self._lanes.discard(lane)
        if not lane.cancelled() and (error := lane.exception()):
            log.error("lane.broke", run=self.name, error=f"{type(error).__name__}: {error}")
        self._desk.release(allocation)
        if self.wants_room:
            self._desk.ask(self)
        self._settle()

    def _settle(self) -> None:
        """Notice that nothing runs and nothing will be begun."""
        if not self._lanes and not self._adopted and (not self._pending or self._verdict is not None):
            self._idle.set()

    def _drop(self, wanted: Ranges) -> None:
        """Cancel tasks that wait."""
        dropped = [key for key in self._pending if key[0] in wanted]
        if dropped:
            self._pending = deque(key for key in self._pending if key[0] not in wanted)
        for index, attempt in dropped:
            state, at = TaskState.CANCELED, now()
            self._note_ended(
                TaskFact(index=index, attempt=attempt, state=state, reason=Reason.CANCELED, finished_at=at)
            )

    async def _conclude(self) -> None:
        """Bring the logs home, and say that all is over."""
        self._tell()
        logs: list[OutputFile] = []
        try:
            async with asyncio.timeout(self._limit):
                if self._resumes and not self._began:
                    self._live.start(resume=True)
                await self._live.finish()
                if self._files.pack.exists():
                    home = Delivery(self._files.pack, pack_path(self.task.attempt))
                    logs, problems = await self._means.carrier.transfer(self.task).deliver([home])
                    for problem in problems:
                        log.warning("log.refused", run=self.name, detail=problem)
        except TimeoutError:
            log.warning("bundle.cut_short", run=self.name)
        last = self._verdict or Verdict(reason=Reason.EXITED)
        self.reason = last.reason
        self._reports.say(Step(step=StepName.DONE, at=now(), reason=last.reason, message=last.message, logs=logs))

    # --- telling ----------------------------------------------------------------------------------------------

    def _note_began(self, task: BundleTask) -> None:
        self._running[task.key] = task
        self._news.set()
        if self._verdict:
            task.end(self._verdict.reason, self._verdict.message, self._grace)

    def _note_ended(self, fact: TaskFact) -> None:
        self._running.pop((fact.index, fact.attempt), None)
        self._facts.append(fact)
        self._news.set()
        if len(self._facts) >= _TELL_AT:
            self._enough.set()

    async def _tell_often(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                async with asyncio.timeout(_TELL_EVERY):
                    await self._enough.wait()
            except TimeoutError:
                pass
            self._enough.clear()
            self._tell()

    def _tell(self) -> None:
        """Report what ended and what began; after this it is kept, and the folders of what ended can go."""
        ended, self._facts = self._facts, []
        begun = [
            task.running_fact() for task in self._running.values() if not task.is_told and task.age > _WORTH_TELLING
        ]
        if any(not task.is_told for task in self._running.values()):
            self._news.set()
        if not ended and not begun:
            return
        self._reports.say(Step(step=StepName.TASKS, at=now(), allocation=self._room, tasks=[*begun, *ended]))
        self._reports.flush()
        keys = [(fact.index, fact.attempt) for fact in ended]
        if keys:
            self._files.note_told(keys)
            asyncio.get_running_loop().run_in_executor(None, self._files.remove, keys)

    async def _beat(self) -> None:
        """Measure what runs, and give signs of life."""
        every, beat = self._means.section.sample_every, self._means.section.heartbeat
        since = 0.0
        while True:
            await asyncio.sleep(min(every, beat))
            self._look(self._running.values())
            since += min(every, beat)
            if since >= beat:
                since = 0.0
                self._reports.say(Step(step=StepName.ALIVE, at=now()))

    def _look(self, running: Iterable[BundleTask]) -> None:
        self._means.census.reap()
        for task in list(running):
            if task.age > _WORTH_TELLING:
                task.look(self.task.memory)

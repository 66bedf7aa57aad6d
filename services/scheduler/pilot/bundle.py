"""A bundle of tasks of one array: run side by side in the slots of this pilot, told of in batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from .bundle_lane import Lane
from .bundle_task import BundleTask
from .bundle_texts import BundleTexts, Key
from .finishing import Verdict
from .folder import RunFolder
from .link import complain
from .means import Means
from .output import LiveOutput
from .outputs import Delivery
from .patience import Patience
from .ranges import numbers_of
from .reports import Reports
from .words import Bundle, OutputFile, Step, Task, TaskFact, stamp

__all__ = ["BundleRun"]

_TELL_EVERY = 0.2
"""Seconds for which ends are gathered into one report."""
_TELL_AT = 250
"""Ends that wait for no others."""
_WORTH_TELLING = 0.1
"""Seconds that a task must have run before it is told to be running: shorter ones are told with their end."""


class BundleRun:
    """Runs the tasks of one bundle."""

    def __init__(self, *, task: Task, means: Means, freed: Callable[[], None]) -> None:
        self.task = task
        self.is_over = False
        """Whether its last word was said."""
        self._means = means
        self._freed = freed
        self._bundle = task.bundle or Bundle(indices="")
        self._folder = RunFolder(means.work / task.name, task.name)
        self._texts = BundleTexts(task=task, bundle=self._bundle, folder=self._folder, means=means)
        self._pending: deque[Key] = deque(self._texts.keys)
        self._running: dict[Key, BundleTask] = {}
        self._verdict: Verdict | None = None
        self._grace: float | None = None
        self._patience = Patience()
        self._facts: list[TaskFact] = []
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._allocation = means.allocation(task)
        self._lane = Lane(
            task=task,
            texts=self._texts,
            folder=self._folder,
            means=means,
            began=self._note_began,
            told=self._note_ended,
        )
        self._reports = Reports(link=means.link, task=task, hold=means.terms.hold)
        self._live = LiveOutput(self._reports.keep_output, {"pack": self._lane.pack}, means.terms.live_logs)

    # --- what others may ask of it ----------------------------------------------------------------------------

    def end(self, reason: str, message: str) -> None:
        """End it before its time: what runs is ended, what waits is not begun."""
        if self.is_over or self._verdict:
            return
        self._verdict = Verdict(reason, message)
        for task in self._running.values():
            task.end(reason, message, self._grace)

    def end_tasks(self, tasks: str) -> None:
        """End some tasks only."""
        wanted = set(numbers_of(tasks))
        dropped = [key for key in self._pending if key[0] in wanted]
        self._pending = deque(key for key in self._pending if key[0] not in wanted)
        for index, attempt in dropped:
            at = stamp(time.time())
            fact = TaskFact(index=index, attempt=attempt, state="canceled", reason="canceled", finished_at=at)
            self._note_ended(fact)
        for key, task in self._running.items():
            if key[0] in wanted:
                task.end("canceled", "canceled on request")

    def interrupt(self, *, within: float) -> None:
        """End it because the cluster wants its room back."""
        self._grace = min(self._means.terms.grace, within / 3)
        self._patience.hurry(within / 3)
        self.end("interrupted", "the cluster ended its job")

    async def live(self) -> None:
        """Run it until all is reported."""
        loop = asyncio.get_running_loop()
        beside = [loop.create_task(self._beat()), loop.create_task(self._tell_often())]
        lanes: list[asyncio.Task[None]] = []
        try:
            self._folder.create()
            (self._folder.path / "tasks").mkdir(mode=0o700, exist_ok=True)
            self._live.start()
            self._reports.say(Step(step="running", at=stamp(time.time()), allocation=self._allocation))
            most = self._bundle.max_running or len(self._pending)
            count = max(1, min(self._means.terms.slots, most, len(self._pending)))
            lanes += [loop.create_task(self._run_lane()) for _ in range(count)]
            await asyncio.gather(*lanes)
            self._freed()
            await self._conclude()
            self.is_over = True
            await self._reports.settled()
        except asyncio.CancelledError:
            self._live.abandon()
            self._reports.abandon()
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            raise
        finally:
            for one in beside:
                one.cancel()
            self._freed()
            await loop.run_in_executor(None, self._folder.remove)

    # --- its life ---------------------------------------------------------------------------------------------

    async def _run_lane(self) -> None:
        while self._pending and self._verdict is None:
            await self._lane.run(self._pending.popleft())

    async def _conclude(self) -> None:
        """Bring the logs home, and say that all is over."""
        self._tell()
        logs = await self._patience.wait(self._bring_logs()) or []
        last = self._verdict or Verdict("exited")
        at = stamp(time.time())
        self._reports.say(Step(step="done", at=at, reason=last.reason, message=last.message, logs=logs))

    async def _bring_logs(self) -> list[OutputFile]:
        await self._live.finish()
        if not self._lane.pack.exists():
            return []
        home = Delivery(self._lane.pack, f"logs/{self.task.attempt}/pack")
        logs, problems = await self._means.transfer(self.task).deliver([home])
        for problem in problems:
            complain(f"the logs of {self.task.name} are not kept: {problem}")
        return logs

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
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._enough.wait(), _TELL_EVERY)
            self._enough.clear()
            self._tell()

    def _tell(self) -> None:
        """Report what ended and what began."""
        ended, self._facts = self._facts, []
        untold = [task for task in self._running.values() if not task.is_told]
        begun = [task.running_fact() for task in untold if task.age > _WORTH_TELLING]
        if len(begun) < len(untold):
            self._news.set()
        if ended or begun:
            at = stamp(time.time())
            self._reports.say(Step(step="tasks", at=at, allocation=self._allocation, tasks=[*begun, *ended]))
            self._reports.flush()

    async def _beat(self) -> None:
        """Measure what runs, and give signs of life."""
        every, beat = self._means.terms.sample_every, self._means.terms.heartbeat
        since = 0.0
        while True:
            await asyncio.sleep(min(every, beat))
            self._means.census.reap()
            for task in list(self._running.values()):
                if task.age > _WORTH_TELLING:
                    task.look(self.task.memory)
            since += min(every, beat)
            if since >= beat and not self._reports.is_behind:
                since = 0.0
                self._reports.say(Step(step="alive", at=stamp(time.time())))

"""The resident runner: takes tasks, gives them room in their order, and sees each to its end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from contracts.runs import RunnerCapacity, RunTask, run_name
from contracts.states import Reason
from contracts.workloads import Allocation

from .attempt import Attempt
from .bundle import BundleRun
from .carrier import Carrier
from .census import Census
from .gpus import Gpus
from .isolation.isolation import Isolation
from .journal import Journal, RunFolder
from .link import Link
from .means import Means
from .queue import Queue, TaskQueue
from .room import Room
from .settings import RunnerSection
from .views import Views

if TYPE_CHECKING:
    from .containers.containers import Containers

__all__ = ["Runner"]

_REMEMBER = 600.0
"""Seconds for which a cancel is remembered whose task has not come yet."""
_SWEEP = 5.0
"""Seconds between looks for folders to remove."""
_CANCELED = "canceled on request"
_BUNDLES = 64
"""Bundles of arrays that are held at once; what else lies in the queue comes past them."""

_Run = Attempt | BundleRun

_QUEUE_STOPS = 2.0
"""Seconds for giving back tasks that came too late; what is not given back comes to another runner by itself."""

log = structlog.get_logger(__name__)


class Runner:
    """Holds the attempts of this node."""

    def __init__(
        self,
        *,
        link: Link,
        journal: Journal,
        room: Room,
        census: Census,
        gpus: Gpus,
        section: RunnerSection,
        make_queue: Callable[[Callable[[RunTask], None]], TaskQueue] | None = None,
        private: Sequence[Path] = (),
        containers: Containers | None = None,
    ) -> None:
        """*make_queue* makes what hands tasks over, if not the queue in NATS; no run is to see what is *private*."""
        self.queue: TaskQueue = (
            make_queue(self.take) if make_queue else Queue(link=link, backend=section.backend, take=self.take)
        )
        self.finished: Counter[str] = Counter()
        """How many attempts ended, by reason."""
        self._carrier = Carrier(link=link, patience=section.patience, parallel=section.transfers)
        self._isolation = Isolation(section, private)
        views = Views(section.files)
        self._means = Means(link, self._carrier, census, gpus, section, views, self._isolation, containers)
        self._journal = journal
        self._room = room
        self._section = section
        self._attempts: dict[str, _Run] = {}
        self._waiting: deque[_Run] = deque()
        self._living: set[asyncio.Task[None]] = set()
        self._begun: set[str] = set()
        self._canceled: dict[str, float] = {}
        self._done: deque[tuple[float, RunFolder]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None

    # --- start and stop ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what an earlier runner left, then take more."""
        for folder in self._journal.folders():
            if folder.is_done:
                self._keep_a_while(folder, folder.done_for)
            else:
                self._recover(folder)
        self._admit()
        self.queue.start()

    async def drain(self, seconds: float) -> None:
        """End what runs, say so, and return when nothing is left, or after *seconds*."""
        ends = time.monotonic() + seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_QUEUE_STOPS, seconds)):
                await self.queue.stop()
        for attempt in list(self._attempts.values()):
            attempt.interrupt(within=max(0.0, ends - time.monotonic()))
        while self._waiting:
            self._begin(self._waiting.popleft(), None)
        if self._living:
            _, late = await asyncio.wait(self._living, timeout=max(0.0, ends - time.monotonic()))
            for task in late:
                task.cancel()
            if late:
                log.warning("runner.drain_cut_short", runs=len(late), seconds=seconds)
                await asyncio.gather(*late, return_exceptions=True)
        if self._sweeping:
            self._sweeping.cancel()
        await self._carrier.close()

    def _recover(self, folder: RunFolder) -> None:
        task = folder.read_task()
        if task is None:
            return
        attempt = self._make(task, folder)
        if isinstance(attempt, BundleRun):
            self._recover_bundle(attempt)
            return
        allocation = attempt.recover()
        if allocation or attempt.is_decided or folder.is_told:
            if allocation and not folder.is_told:
                self._room.occupy(allocation)
            log.info("run.recovered", run=folder.name, started=bool(allocation))
            self._begin(attempt, None if folder.is_told else allocation, resume=True)
        elif self._isolation.refusal:
            attempt.end(Reason.REFUSED, self._isolation.refusal)
            self._begin(attempt, None)
        else:
            self._waiting.append(attempt)

    def _recover_bundle(self, bundle: BundleRun) -> None:
        for allocation in bundle.recover():
            self._room.occupy(allocation)
        log.info("bundle.recovered", run=bundle.name)
        self._begin(bundle, None, resume=True)
        self._want_room(bundle)

    # --- tasks ------------------------------------------------------------------------------------------------

    def take(self, task: RunTask) -> None:
        """Keep a task and run it when there is room; one that was taken before is passed over."""
        if self._journal.knows(task.workload_id, task.attempt):
            return
        folder = self._journal.folder(task.workload_id, task.attempt)
        folder.take(task)
        attempt = self._make(task, folder)
        refusal = self._room.refusal(task) or self._isolation.refusal
        if self._canceled.pop(folder.name, 0.0) > time.monotonic():
            attempt.end(Reason.CANCELED, _CANCELED)
        elif refusal:
            attempt.end(Reason.REFUSED, refusal)
        if attempt.is_decided:
            self._begin(attempt, None)
            return
        if isinstance(attempt, BundleRun):
            # It lives from now on, for its tasks may be ended before the first has room.
            self._begin(attempt, None)
            self._want_room(attempt)
        else:
            self._waiting.append(attempt)
        self._admit()

    async def cancel(self, workload_id: str, attempt: int) -> None:
        """End an attempt, wherever it is: running, waiting, in the queue, or still on its way."""
        name = run_name(workload_id, attempt)
        found = self._attempts.get(name)
        if found:
            found.end(Reason.CANCELED, _CANCELED)
            if found in self._waiting:
                self._waiting.remove(found)
                self._begin(found, None)
            self._admit()
        elif not self._journal.knows(workload_id, attempt):
            self._remember(name)
            task = await self.queue.withdraw(workload_id, attempt)
            if task:
                self.take(task)

    def cancel_tasks(self, workload_id: str, bundle: int, tasks: str) -> bool:
        """End some tasks of a bundle; False if we do not have it."""
        found = self._attempts.get(run_name(workload_id, bundle))
        if isinstance(found, BundleRun):
            found.end_tasks(tasks)
            return True
        return False

    def observe(self, workload_id: str, attempt: int) -> tuple[bool, bool]:
        """Say whether an attempt is known, and whether it is over."""
        found = self._attempts.get(run_name(workload_id, attempt))
        if found:
            return True, found.is_over
        known = self._journal.knows(workload_id, attempt)
        return known, known

    def capacity(self) -> RunnerCapacity:
        """Say what room there is."""
        room = self._room
        return RunnerCapacity(
            cpus=room.cpus,
            cpus_free=max(0.0, room.cpus_free),
            memory=room.memory,
            memory_free=max(0, room.memory_free),
            gpus=len(room.gpus),
            gpus_free=room.gpus_free,
            gpu_models=sorted({gpu.model for gpu in room.gpus}),
            running=len(self._attempts) - len(self._waiting),
            waiting=len(self._waiting),
        )

    # --- attempts ---------------------------------------------------------------------------------------------

    def _make(self, task: RunTask, folder: RunFolder) -> _Run:
        attempt: _Run
        if task.bundle is not None:
            attempt = BundleRun(task=task, folder=folder, means=self._means, desk=self)
        else:
            attempt = Attempt(task=task, folder=folder, means=self._means, release=self.release)
        self._attempts[folder.name] = attempt
        return attempt

    def _admit(self) -> None:
        """Give room to those who wait, in their order; the first that does not fit keeps the others waiting."""
        while self._waiting:
            allocation = self._room.claim(self._waiting[0].task)
            if allocation is None:
                break
            attempt = self._waiting.popleft()
            if isinstance(attempt, BundleRun):
                attempt.give(allocation)
                self._want_room(attempt)
            else:
                self._begin(attempt, allocation)
        # One in hand is enough: whatever lies in the queue can still go to another runner. Bundles let others pass.
        bundles = sum(isinstance(attempt, BundleRun) for attempt in self._attempts.values())
        self.queue.want(bundles < _BUNDLES and all(isinstance(attempt, BundleRun) for attempt in self._waiting))

    def release(self, allocation: Allocation) -> None:
        """Take room back, and give it to those who wait."""
        self._room.release(allocation)
        self._admit()

    def is_wanted(self, bundle: BundleRun) -> bool:
        """Say whether others wait for room that *bundle* might give back between two of its tasks."""
        return any(attempt.task.workload_id != bundle.task.workload_id for attempt in self._waiting)

    def ask(self, bundle: BundleRun) -> None:
        """Give a bundle more room when there is some."""
        self._want_room(bundle)
        self._admit()

    def _want_room(self, bundle: BundleRun) -> None:
        """Have an array wait for room: its first bundle that can use some, so that they end one by one."""
        array = bundle.task.workload_id
        of_array = (run for run in self._attempts.values() if run.task.workload_id == array)
        wanting = [run for run in of_array if isinstance(run, BundleRun) and run.wants_room]
        first = min(wanting, key=lambda run: run.task.attempt, default=None)
        if first is not None and first not in self._waiting:
            self._waiting.append(first)

    def _begin(self, attempt: _Run, allocation: Allocation | None, *, resume: bool = False) -> None:
        if attempt.name in self._begun:
            return
        self._begun.add(attempt.name)
        task = asyncio.create_task(attempt.live(allocation, resume=resume))
        self._living.add(task)
        task.add_done_callback(lambda task: self._over(attempt, task))

    def _over(self, attempt: _Run, task: asyncio.Task[None]) -> None:
        self._living.discard(task)
        self._attempts.pop(attempt.name, None)
        self._begun.discard(attempt.name)
        if not task.cancelled():
            if error := task.exception():
                log.error("run.broke", run=attempt.name, error=f"{type(error).__name__}: {error}")
            self.finished[attempt.reason] += 1
            self._keep_a_while(self._journal.folder(attempt.task.workload_id, attempt.task.attempt))

    def _remember(self, name: str) -> None:
        moment = time.monotonic()
        self._canceled = {name: until for name, until in self._canceled.items() if until > moment}
        self._canceled[name] = moment + _REMEMBER

    # --- folders ----------------------------------------------------------------------------------------------

    def _keep_a_while(self, folder: RunFolder, age: float = 0.0) -> None:
        self._done.append((time.monotonic() + self._section.keep - age, folder))
        self._sweep_later()

    def _sweep_later(self) -> None:
        if self._sweeping is None and self._done:
            pause = max(min(_SWEEP, self._section.keep), self._done[0][0] - time.monotonic())
            self._sweeping = asyncio.get_running_loop().call_later(pause, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        moment = time.monotonic()
        old: list[RunFolder] = []
        while self._done and self._done[0][0] <= moment:
            old.append(self._done.popleft()[1])
        if old:
            asyncio.get_running_loop().run_in_executor(None, _remove_all, old)
        self._sweep_later()


def _remove_all(folders: list[RunFolder]) -> None:
    for folder in folders:
        folder.remove()

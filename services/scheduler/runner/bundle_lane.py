"""Runs tasks of a bundle in one piece of room: each from its folder to the fact that tells its end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import structlog

from contracts.errors import ShunterError
from contracts.holdings import Allocation, OutputFile
from contracts.model import now
from contracts.runs import RunTask
from contracts.states import Reason
from contracts.tasks import TaskFact, TaskLog, TaskState
from services.scheduler.pilot.outputs import find_outputs
from services.scheduler.pilot.process import Exit, SpawnError, read_exit

from .bundle_folder import BundleFolder, Key, Started
from .bundle_task import BundleTask, ended_fact
from .bundle_texts import BundleTexts
from .environment import in_image
from .errors import NoBoxError
from .finishing import BRINGS_OUTPUTS, judge, with_problem
from .journal import Verdict
from .means import Means
from .process import Child, spawn

if TYPE_CHECKING:
    from .bundle_recovery import Recovered
    from .containers.containers import Containers

__all__ = ["Lane"]

log = structlog.get_logger(__name__)


class Lane:
    """What all lanes of a bundle have in common."""

    def __init__(
        self,
        *,
        task: RunTask,
        texts: BundleTexts,
        files: BundleFolder,
        means: Means,
        began: Callable[[BundleTask], None],
        told: Callable[[TaskFact], None],
    ) -> None:
        self._task = task
        self._texts = texts
        self._files = files
        self._means = means
        self._began = began
        self._tell = told
        self._has_gpus = bool(means.gpus.list())
        self._containers = means.containers if task.image else None
        self._fetching: asyncio.Task[None] | None = None

    async def run(self, key: Key, allocation: Allocation) -> None:
        """Run one task and tell how it ended."""
        folder = self._files.task(key)
        boxed = self._containers is not None
        task = BundleTask(
            key=key, folder=folder, means=self._means, allocation=allocation, started_at=now(), boxed=boxed
        )
        self._began(task)
        try:
            self._files.create(folder)
            if self._task.inputs or self._texts.own_inputs(key[0]):
                await self._fetch(task)
            if self._containers and self._task.image:
                await self._containers.prepare(self._task.image, folder)
            child = None if task.verdict else self._spawn(task)
        except NoBoxError as error:
            self._tell(self._never_ran(task, Verdict(reason=error.reason, message=str(error))))
            return
        except (ShunterError, OSError) as error:
            self._tell(self._never_ran(task, Verdict(reason=Reason.STAGING, message=str(error))))
            return
        if task.verdict and child is None:
            self._tell(self._never_ran(task, task.verdict))
            return
        await self._follow(task, child)

    async def adopt(self, found: Recovered) -> None:
        """Go on with a task that an earlier runner began."""
        self._began(found.task)
        if found.canceled:
            found.task.end(Reason.CANCELED, "canceled on request")
        await self._follow(found.task, found.child)

    async def _follow(self, task: BundleTask, child: Child | None) -> None:
        try:
            if child is not None:
                ended, usage = await task.follow(child, self._task.walltime)
            else:
                ended, usage = read_exit(task.folder), task.so_far()
            if self._containers and (fate := await self._containers.leave(task.folder)):
                task.verdict = task.verdict or fate
            self._tell(await self._finish(task, ended, usage))
        except Exception as error:
            log.exception("task.failed", run=task.folder.name)
            message = f"the runner failed: {type(error).__name__}: {error}"
            self._tell(self._never_ran(task, Verdict(reason=Reason.INTERNAL, message=message)))

    def _spawn(self, task: BundleTask) -> Child | None:
        folder, key = task.folder, task.key
        env = self._texts.env(key, folder, task.allocation, has_gpus=self._has_gpus)
        try:
            if self._containers:
                argv, env = self._contain(self._containers, task, env)
            else:
                argv = self._texts.argv(key, folder, env)
            if not self._containers and (cell := self._means.isolation.cell):
                argv, env = cell.enter(folder, argv, env, task.allocation, reads=[self._texts.script])
            child = spawn(folder, argv, env)
        except SpawnError as error:
            folder.write_failure(error.code, str(error))
            return None
        at, gpus = task.started_at.timestamp(), tuple(task.allocation.gpu_indices)
        self._files.note_start(key, Started(at, gpus))
        return child

    def _contain(
        self, containers: Containers, task: BundleTask, env: Mapping[str, str]
    ) -> tuple[list[str], dict[str, str]]:
        return containers.enter(
            task.folder,
            image=self._task.image or "",
            words=self._texts.words(task.key, task.folder),
            env=in_image(self._task, env),
            place=self._task.files,
            inputs=self._texts.targets(task.key[0]),
            outputs=self._texts.outputs(task.key[0]),
            allocation=task.allocation,
        )

    async def _finish(self, task: BundleTask, ended: Exit, usage: object) -> TaskFact:
        outputs: list[OutputFile] = []
        last = judge(ended, task.verdict)
        if self._task.outputs and last.reason in BRINGS_OUTPUTS:
            outputs, problem = await self._take_home(task)
            last = with_problem(last, problem, succeeded=ended.code == 0)
        logs = [log for log in (self._pack(task, "stdout"), self._pack(task, "stderr")) if log]
        return ended_fact(task, ended, usage, last, outputs=outputs, logs=logs)  # type: ignore[arg-type]

    def _pack(self, task: BundleTask, stream: str) -> TaskLog | None:
        source = task.folder.stdout if stream == "stdout" else task.folder.stderr
        offset, size = self._files.add_log(source)
        if not size:
            return None
        return TaskLog(attempt=task.key[1], stream=stream, bundle=self._task.attempt, offset=offset, size=size)

    async def _take_home(self, task: BundleTask) -> tuple[list[OutputFile], str]:
        wanted = self._texts.outputs(task.key[0])
        found, missing = await asyncio.to_thread(find_outputs, wanted, task.folder.work)
        stored, problems = await self._means.carrier.transfer(self._task).deliver(found)
        if missing:
            problems.append(f"required outputs are missing: {', '.join(missing)}")
        return stored, "; ".join(problems)

    async def _fetch(self, task: BundleTask) -> None:
        """Bring a task's inputs; those that all read are brought to this node once, and each task has a copy."""
        index = task.key[0]
        if self._task.inputs:
            if self._fetching is None or (self._fetching.done() and self._fetching.exception()):
                self._fetching = asyncio.create_task(self._fetch_shared())
            await asyncio.shield(self._fetching)
            for source, target in self._texts.shared_targets(index):
                await asyncio.to_thread(_copy, self._files, source, task, target)
        if own := self._texts.own_inputs(index):
            transfer = self._means.carrier.transfer(self._task)
            await transfer.fetch(own, task.folder.work, task.folder.temporary)

    async def _fetch_shared(self) -> None:
        self._files.shared.mkdir(mode=0o700, exist_ok=True)
        drafts = self._files.shared.with_name("drafts")
        drafts.mkdir(mode=0o700, exist_ok=True)
        transfer = self._means.carrier.transfer(self._task)
        await transfer.fetch(self._task.inputs, self._files.shared, drafts)

    @staticmethod
    def _never_ran(task: BundleTask, verdict: Verdict) -> TaskFact:
        index, attempt = task.key
        states = {Reason.CANCELED: TaskState.CANCELED, Reason.INTERRUPTED: TaskState.LOST}
        return TaskFact(
            index=index,
            attempt=attempt,
            state=states.get(verdict.reason, TaskState.FAILED),
            reason=verdict.reason,
            message=verdict.message,
            started_at=task.started_at,
            finished_at=now(),
            usage=task.so_far(),
        )


def _copy(files: BundleFolder, source: str, task: BundleTask, target: str) -> None:
    place = task.folder.work / target
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(files.shared / source, place)

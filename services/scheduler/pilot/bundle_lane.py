"""What a task of a bundle goes through in its slot."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .bundle_task import BundleTask
from .bundle_texts import BundleTexts, Key
from .errors import TroubleError
from .finishing import BRINGS_OUTPUTS, Verdict, judge, with_problem
from .folder import RunFolder
from .link import complain
from .means import Means
from .outputs import clean_path, find_outputs
from .process import Child, SpawnError, read_exit, spawn
from .words import OutputFile, Task, TaskFact, TaskLog

__all__ = ["Lane"]


class Lane:
    """What all slots of a bundle have in common."""

    def __init__(
        self,
        *,
        task: Task,
        texts: BundleTexts,
        folder: RunFolder,
        means: Means,
        began: Callable[[BundleTask], None],
        told: Callable[[TaskFact], None],
    ) -> None:
        self._task = task
        self._texts = texts
        self._folder = folder
        self._means = means
        self._began = began
        self._tell = told
        self._fetching: asyncio.Task[None] | None = None
        self.pack = folder.path / "pack"
        """The output of all tasks that have ended."""

    async def run(self, key: Key) -> None:
        """Run one task and tell how it ended; its folder goes."""
        index, attempt = key
        folder = RunFolder(self._folder.path / "tasks" / f"{index}.{attempt}", f"{self._folder.name}/{index}")
        task = BundleTask(key=key, folder=folder, means=self._means)
        self._began(task)
        try:
            self._tell(await self._run(task))
        except (TroubleError, OSError, ValueError) as error:
            self._tell(task.never_ran(Verdict("staging", str(error))))
        except Exception as error:  # noqa: BLE001 (the other tasks go on)
            complain(f"{folder.name} failed in the pilot: {error!r}")
            self._tell(task.never_ran(Verdict("internal", f"the pilot failed: {error!r}")))
        finally:
            await asyncio.get_running_loop().run_in_executor(None, folder.remove)

    async def _run(self, task: BundleTask) -> TaskFact:
        task.folder.create()
        if self._task.inputs or self._texts.own_inputs(task.key[0]):
            await self._fetch(task)
        if task.verdict:
            return task.never_ran(task.verdict)
        child = self._spawn(task)
        if child:
            ended, usage = await task.follow(child, self._task.walltime)
        else:
            ended, usage = read_exit(task.folder), task.so_far()
        outputs: list[OutputFile] = []
        last = judge(ended, task.verdict)
        if self._task.outputs and last.reason in BRINGS_OUTPUTS:
            outputs, problem = await self._take_home(task)
            last = with_problem(last, problem, succeeded=ended.code == 0)
        logs = [log for stream in ("stdout", "stderr") for log in [self._pack(task, stream)] if log]
        return task.ended_fact(ended, usage, last, outputs=outputs, logs=logs)

    def _spawn(self, task: BundleTask) -> Child | None:
        env = self._texts.env(task.key, task.folder)
        try:
            return spawn(task.folder, self._texts.argv(task.key, task.folder, env), env)
        except SpawnError as error:
            task.folder.write_failure(error.code, str(error))
            return None

    def _pack(self, task: BundleTask, stream: str) -> TaskLog | None:
        """Put a task's output behind what the pack holds."""
        source = task.folder.path / stream
        if not source.exists() or not source.stat().st_size:
            return None
        with self.pack.open("ab") as pack, source.open("rb") as output:
            offset = pack.seek(0, os.SEEK_END)
            shutil.copyfileobj(output, pack, 1024 * 1024)
            size = pack.tell() - offset
        return TaskLog(attempt=task.key[1], stream=stream, bundle=self._task.attempt, offset=offset, size=size)

    async def _take_home(self, task: BundleTask) -> tuple[list[OutputFile], str]:
        wanted = self._texts.outputs(task.key[0])
        found, missing = await asyncio.get_running_loop().run_in_executor(None, find_outputs, wanted, task.folder.work)
        stored, problems = await self._means.transfer(self._task).deliver(found)
        if missing:
            problems.append(f"required outputs are missing: {', '.join(missing)}")
        return stored, "; ".join(problems)

    async def _fetch(self, task: BundleTask) -> None:
        """Bring a task's inputs; those that all read are brought to this node once, and each task has a copy."""
        index, loop = task.key[0], asyncio.get_running_loop()
        if self._task.inputs:
            if self._fetching is None or (self._fetching.done() and self._fetching.exception()):
                self._fetching = loop.create_task(self._fetch_shared())
            await asyncio.shield(self._fetching)
            for source, target in self._texts.shared_targets(index):
                place = task.folder.work / clean_path(target)
                await loop.run_in_executor(None, _copy, self._shared / source, place)
        own = self._texts.own_inputs(index)
        if own:
            await self._means.transfer(self._task).fetch(own, task.folder.work, task.folder.temporary)

    @property
    def _shared(self) -> Path:
        return self._folder.path / "shared"

    async def _fetch_shared(self) -> None:
        drafts = self._folder.path / "drafts"
        for folder in (self._shared, drafts):
            folder.mkdir(mode=0o700, exist_ok=True)
        await self._means.transfer(self._task).fetch(self._task.inputs, self._shared, drafts)


def _copy(source: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)

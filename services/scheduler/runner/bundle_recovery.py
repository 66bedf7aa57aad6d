"""Finds out how far an earlier runner came with the tasks of a bundle."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from contracts.holdings import Allocation
from contracts.runs import RunTask
from contracts.tasks import TaskState

from .bundle_folder import BundleFolder, Key, Started
from .bundle_task import BundleTask
from .census import age_of
from .journal import RunFolder
from .means import Means
from .process import Child

__all__ = ["Found", "Recovered", "recover"]


_SHARED = 0.5
"""Seconds for which one look at the table of processes serves for all tasks."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A task that an earlier runner began and did not tell the end of. Without *child* its process is over."""

    task: BundleTask
    child: Child | None
    canceled: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What there is to do."""

    pending: list[Key] = field(default_factory=list)
    running: list[Recovered] = field(default_factory=list)


def recover(*, task: RunTask, folder: RunFolder, files: BundleFolder, means: Means, pending: list[Key]) -> Found:
    """Return the tasks that were not begun, and those that were and whose end was not told."""
    told = files.told() | {
        (fact.index, fact.attempt)
        for report in folder.read_reports()
        for step in report.steps
        for fact in step.tasks
        if fact.state is not TaskState.RUNNING
    }
    known = set(files.known())
    files.remove(known & told)
    starts, canceled = files.starts(), files.canceled()
    found = Found()
    for key in pending:
        if key in told:
            continue
        if key not in known:
            found.pending.append(key)
            continue
        run = files.task(key)
        start = starts.get(key)
        child = _child(run, means)
        if start is None and child is None:
            # Nothing was started in it yet: it begins anew.
            run.remove()
            found.pending.append(key)
            continue
        at = datetime.fromtimestamp(start.at if start else run.path.stat().st_mtime, UTC)
        room, age = _room(task, start, means), age_of(child.pid) if child else None
        boxed = means.containers is not None and bool(task.image)
        began = BundleTask(key=key, folder=run, means=means, allocation=room, started_at=at, age=age, boxed=boxed)
        found.running.append(Recovered(began, child, key[0] in canceled))
    return found


def _child(run: RunFolder, means: Means) -> Child | None:
    """Return the process of a task, if it still runs: it is marked with the task's name."""
    members = means.census.members(run.name, max_age=_SHARED)
    pid = next((member.proc.pid for member in members if member.proc.pid == member.proc.session), 0)
    with suppress(ProcessLookupError):
        return Child(run, pid, ours=False) if pid else None
    return None


def _room(task: RunTask, start: Started | None, means: Means) -> Allocation:
    indices = list(start.gpus) if start else []
    models = [gpu.model for gpu in means.gpus.list() if gpu.index in indices]
    return Allocation(
        backend=means.section.backend,
        node=platform.node(),
        cpus=task.cpus,
        memory=task.memory or 0,
        gpus=len(indices),
        gpu_model=models[0] if models else "",
        gpu_indices=indices,
    )

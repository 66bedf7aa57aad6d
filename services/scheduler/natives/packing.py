"""Which attempts share a native job, and what native job that is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from typing import Any

from contracts.ranges import Ranges
from contracts.runs import RunTask
from services.scheduler.backends.engines.base import Launch, Order
from services.scheduler.settings import BackendSettings, PackSettings

from .words import native_name

__all__ = ["Group", "Shape", "Waiting", "group", "is_ripe", "is_small", "order_of", "shape_of"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """An attempt that has no native job yet."""

    number: int
    task: RunTask
    returns: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Attempts that go as one native job."""

    name: str
    members: tuple[Waiting, ...]

    @property
    def tasks(self) -> list[RunTask]:
        """Return what it runs."""
        return [member.task for member in self.members]


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a native job is."""

    slots: int
    """How many of its tasks run side by side."""
    cpus: float
    memory: int | None
    gpus: int
    walltime: float


def is_small(task: RunTask, pack: PackSettings | None) -> bool:
    """Say whether a task may share a native job with others of its kind."""
    alone = task.gpus or task.image or task.nodes > 1 or task.processes > 1 or task.options or task.environment
    return pack is not None and not alone and task.cpus <= 1 and task.walltime <= pack.walltime


def group(waiting: Sequence[Waiting], settings: BackendSettings, site: str) -> list[Group]:
    """Say which attempts go together, in their order; one that came back from a pack goes alone."""
    groups: list[Group] = []
    open_packs: dict[tuple[str, str | None], list[Waiting]] = {}
    packs: list[list[Waiting]] = []
    for one in waiting:
        task = one.task
        if settings.pack is None or one.returns or task.bundle or not is_small(task, settings.pack):
            packs.append([one])
            continue
        pack = open_packs.get((task.owner, task.project))
        if pack is None or len(pack) >= settings.pack.most:
            pack = open_packs[task.owner, task.project] = []
            packs.append(pack)
        pack.append(one)
    for members in packs:
        first = members[0]
        many = len(members) > 1
        name = native_name(site, first.task.workload_id, first.task.attempt, is_pack=many, returns=first.returns)
        groups.append(Group(name, tuple(members)))
    return groups


def is_ripe(one: Group, waited: Mapping[int, timedelta], pack: PackSettings) -> bool:
    """Say whether a group goes although native jobs are on their way: it is full, has waited, or could not grow."""
    first = one.members[0]
    could_grow = len(one.members) < pack.most and is_small(first.task, pack) and not first.returns
    return not could_grow or first.task.bundle is not None or waited[first.number].total_seconds() > pack.gather


def shape_of(tasks: Sequence[RunTask], settings: BackendSettings) -> Shape:
    """Return how large a native job for these is."""
    first = tasks[0]
    if first.bundle is not None:
        return _shape_of_bundle(first, settings)
    if len(tasks) == 1:
        return Shape(1, first.cpus, first.memory, first.gpus, first.walltime + settings.grace)
    slots = min(len(tasks), settings.pack.cpus if settings.pack else 1)
    memory = max((task.memory or 0 for task in tasks), default=0) * slots
    # Its pilot takes no task that it could not finish; what is left goes into another native job.
    rounds = min(2, ceil(len(tasks) / slots))
    longest = rounds * max(task.walltime for task in tasks)
    return Shape(
        slots, max(1.0, sum(sorted(task.cpus for task in tasks)[-slots:])), memory or None, 0, longest + settings.grace
    )


def _shape_of_bundle(task: RunTask, settings: BackendSettings) -> Shape:
    assert task.bundle is not None
    tasks = len(Ranges.parse(task.bundle.indices))
    most = settings.pack.cpus if settings.pack and is_small(task, settings.pack) else 1
    slots = min(tasks, task.bundle.max_running or tasks, most)
    walltime = ceil(tasks / slots) * task.walltime + settings.grace
    memory = task.memory * slots if task.memory else None
    return Shape(slots, task.cpus * slots, memory, task.gpus * slots, walltime)


def order_of(
    name: str, tasks: Sequence[RunTask], shape: Shape, launch: Launch, kind: str, *, fresh: bool = False
) -> Order:
    """Return what the engine is told of a native job; a *fresh* one is not there yet."""
    first = tasks[0]
    title = first.job_name or first.workload_id
    options: dict[str, Any] = dict(first.options.get(kind, {}))
    return Order(
        name=name,
        owner=first.owner,
        project=first.project,
        title=title if len(tasks) == 1 else f"{title} and {len(tasks) - 1} more",
        launch=launch,
        cpus=shape.cpus,
        memory=shape.memory,
        gpus=shape.gpus,
        walltime=shape.walltime,
        gpu_model=first.gpu_model,
        gpu_memory=first.gpu_memory,
        nodes=first.nodes,
        processes=first.processes,
        image=first.image,
        files=first.files,
        priority=max(task.priority for task in tasks),
        options=options,
        fresh=fresh,
    )

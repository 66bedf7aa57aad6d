"""Native jobs as Slurm is to see them: orders of one shape become one job, or the tasks of one array."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from services.scheduler.backends.engines.base import Order

from .choices import Choices
from .identity import native_id_of
from .names import comment_of, portions

__all__ = ["Batch", "Limits", "batches_of"]

_MIB = 1024 * 1024

_RESOLUTION = 60
"""Seconds by which Slurm may send a signal too early."""

_FORGONE = 10
"""Minutes of its grace that a job does without where its partition gives no more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of the site's settings and the cluster's configuration goes into the shape of a job."""

    site: str
    last_words: float
    over_time: int
    largest_array: int
    partitions: Mapping[str, int | None]
    """The longest time of each partition in minutes; the default one is there under the empty name too."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One call of `sbatch`, or one request to slurmrestd. Memory in MiB for each node, time in minutes."""

    orders: tuple[Order, ...]
    comment: str
    script: str
    env: Mapping[str, str]
    choices: Choices
    minutes: int
    warn: int
    """Seconds before its end at which the pilot is told; 0 if Slurm lets it run longer anyway."""

    @property
    def name(self) -> str:
        """Return the name of the job: of an array it is that of its first task."""
        return self.orders[0].name

    @property
    def tasks(self) -> int:
        """Return how many tasks the array has, or 0 if it is none."""
        return len(self.orders) if len(self.orders) > 1 else 0

    @property
    def nodes(self) -> int:
        """Return how many nodes it takes."""
        return self.orders[0].nodes

    @property
    def processes(self) -> int:
        """Return how many processes it has on all nodes; none stays empty."""
        return max(self.orders[0].processes, self.nodes)

    @property
    def processes_per_node(self) -> int:
        """Return the most processes on one node."""
        return math.ceil(self.processes / self.nodes)

    @property
    def cpus(self) -> int:
        """Return the cores of each process."""
        return math.ceil(self.orders[0].cpus)

    @property
    def memory(self) -> int | None:
        """Return the memory of each node, if any was asked for."""
        memory = self.orders[0].memory
        return None if memory is None else math.ceil(memory * self.processes_per_node / _MIB)

    @property
    def gres(self) -> str:
        """Return what it needs on each node beside cores and memory."""
        gpus = self.orders[0].gpus * self.processes_per_node
        model = f":{self.choices.gpu}" if self.choices.gpu else ""
        wanted = ([f"gpu{model}:{gpus}"] if gpus else []) + [self.choices.options.gres or ""]
        return ",".join(filter(None, wanted))

    @property
    def nice(self) -> int:
        """Return by how much others go before it; nobody may ask for less than nothing."""
        return max(0, -self.orders[0].priority)

    def native_ids(self, job: str, submitted: int) -> list[str]:
        """Return the native id of each order, given the number of the job and when it was submitted."""
        numbers = [f"{job}_{index}" for index in range(self.tasks)] or [job]
        return [native_id_of(number, submitted) for number in numbers]


def batches_of(orders: Sequence[tuple[Order, Choices]], limits: Limits) -> Iterator[Batch]:
    """Put orders of the same shape together."""
    alike: dict[object, list[tuple[Order, Choices]]] = {}
    for order, choices in orders:
        alike.setdefault(_shape(order, choices), []).append((order, choices))
    for group in alike.values():
        begin = 0
        for count in portions(limits.site, [order.name for order, _ in group], limits.largest_array - 1):
            portion = group[begin : begin + count]
            yield _batch(tuple(order for order, _ in portion), portion[0][1], limits)
            begin += count


def _shape(order: Order, choices: Choices) -> object:
    """Return what has to be equal; tasks of one array belong to one owner and project."""
    return (
        (order.owner, order.project, order.launch.script, choices, order.priority),
        (order.cpus, order.memory, order.gpus, order.nodes, order.processes, math.ceil(order.walltime / 60)),
        tuple(sorted(order.launch.env)),
    )


def _batch(orders: tuple[Order, ...], choices: Choices, limits: Limits) -> Batch:
    minutes, warn = _time(orders[0].walltime, choices, limits)
    script, env = _launch(orders)
    names = [order.name for order in orders]
    return Batch(
        orders=orders,
        comment=comment_of(limits.site, names) if len(orders) > 1 else limits.site,
        script=script,
        env={**env, **choices.env},
        choices=choices,
        minutes=minutes,
        warn=warn,
    )


def _time(walltime: float, choices: Choices, limits: Limits) -> tuple[int, int]:
    """Return the time limit, and how long before it the pilot is told.

    The limit is what was ordered, and time for the last words. A job as long as its partition allows goes without
    the time for bringing files, which is in what was ordered, rather than not at all.
    """
    ordered = math.ceil(walltime / 60)
    if limits.over_time * 60 >= limits.last_words:
        return ordered, 0
    minutes = math.ceil((walltime + limits.last_words + _RESOLUTION) / 60)
    most = limits.partitions.get(choices.options.partition or "")
    if most is not None and most < minutes <= most + _FORGONE:
        minutes = most
    return minutes, math.ceil(min(limits.last_words, minutes * 60 / 4))


def _launch(orders: Sequence[Order]) -> tuple[str, dict[str, str]]:
    """Return the script and its environment. A task of an array finds its own variables by its index."""
    script, first = orders[0].launch.script, dict(orders[0].launch.env)
    if len(orders) == 1:
        return script, first
    common = {key: value for key, value in first.items() if all(o.launch.env[key] == value for o in orders)}
    own = {f"SHUNTER_TASK_{index}": _assignments(order, common) for index, order in enumerate(orders)}
    shebang, body = script.split("\n", 1) if script.startswith("#!") else ("#!/bin/sh", script)
    return f"{shebang}\n{_CHOOSE.replace('COUNT', str(len(orders)))}{body}", common | own


_CHOOSE = """\
eval "eval \\"\\$SHUNTER_TASK_$SLURM_ARRAY_TASK_ID\\""
task=0
while [ $task -lt COUNT ]; do unset "SHUNTER_TASK_$task"; task=$((task + 1)); done
"""
"""A task takes its own variables and forgets those of the others."""


def _assignments(order: Order, common: Mapping[str, str]) -> str:
    own = ((key, value) for key, value in order.launch.env.items() if key not in common)
    return "export " + " ".join(f"{key}={shlex.quote(value)}" for key, value in own)

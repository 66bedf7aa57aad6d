"""The room of this node: cores, memory and GPUs, and who holds how much of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.runs import RunTask
from contracts.workloads import Allocation

__all__ = ["Gpu", "Room"]

_EPSILON = 1e-6
"""Fractions of cores are floats; sums of them are not exact."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of this node."""

    index: int
    model: str
    memory: int
    """Bytes."""


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower())


def _suits(gpu: Gpu, task: RunTask) -> bool:
    if task.gpu_model and _plain(task.gpu_model) not in _plain(gpu.model):
        return False
    return gpu.memory >= (task.gpu_memory or 0)


class Room:
    """Gives room to attempts and takes it back."""

    def __init__(self, *, backend: str, node: str, cpus: float, memory: int, gpus: Sequence[Gpu] = ()) -> None:
        self._backend = backend
        self._node = node
        self.cpus = cpus
        self.memory = memory
        self.gpus = tuple(gpus)
        self.cpus_free = cpus
        self.memory_free = memory
        self._free_indices = {gpu.index for gpu in gpus}

    @property
    def gpus_free(self) -> int:
        """Return how many GPUs nobody holds."""
        return len(self._free_indices)

    def refusal(self, task: RunTask) -> str | None:
        """Say why a task can never run here, or None if it can."""
        if task.cpus > self.cpus + _EPSILON:
            return f"it needs {task.cpus:g} cores, the runner has {self.cpus:g}"
        if (task.memory or 0) > self.memory:
            return f"it needs {task.memory} bytes of memory, the runner has {self.memory}"
        suitable = sum(1 for gpu in self.gpus if _suits(gpu, task))
        if task.gpus > suitable:
            kind = f" {task.gpu_model}" if task.gpu_model else ""
            return f"it needs {task.gpus}{kind} GPUs, the runner has {suitable}"
        return None

    def claim(self, task: RunTask) -> Allocation | None:
        """Give the task its room, or None if there is not enough now."""
        gpus = [gpu for gpu in self.gpus if gpu.index in self._free_indices and _suits(gpu, task)][: task.gpus]
        if task.cpus > self.cpus_free + _EPSILON or (task.memory or 0) > self.memory_free or len(gpus) < task.gpus:
            return None
        allocation = Allocation(
            backend=self._backend,
            node=self._node,
            cpus=task.cpus,
            memory=task.memory or 0,
            gpus=task.gpus,
            gpu_model=gpus[0].model if gpus else "",
            gpu_indices=[gpu.index for gpu in gpus],
        )
        self.occupy(allocation)
        return allocation

    def occupy(self, allocation: Allocation) -> None:
        """Count room as held; also for a run that was adopted."""
        self.cpus_free -= allocation.cpus
        self.memory_free -= allocation.memory
        self._free_indices -= set(allocation.gpu_indices)

    def release(self, allocation: Allocation) -> None:
        """Take room back."""
        self.cpus_free = min(self.cpus, self.cpus_free + allocation.cpus)
        self.memory_free += allocation.memory
        self._free_indices |= set(allocation.gpu_indices) & {gpu.index for gpu in self.gpus}

"""A backend for tests: keeps the promises of `Backend` in memory, and can have bad days."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

from contracts.errors import UnavailableError
from contracts.runs import RunTask, run_name
from services.scheduler.backends.base import Backend, Cancelled, Capability, Capacity, NativeJob, Observation

__all__ = ["FakeBackend"]


class FakeBackend(Backend):
    """Holds attempts until they are cancelled or finished; *flaky* fails every other call."""

    kind = "fake"
    capabilities = frozenset({Capability.ARRAYS, Capability.GPUS})

    def __init__(
        self,
        name: str = "fake",
        *,
        cpus: float = 8,
        cpus_free: float = 8,
        flaky: bool = False,
        capabilities: frozenset[Capability] | None = None,
        **room: Any,
    ) -> None:
        """Have so many cores; *room* is what else is to be said of its capacity."""
        self.name = name
        self.capabilities = self.capabilities if capabilities is None else capabilities
        self._room = room
        self.tasks: dict[str, RunTask] = {}
        self._cpus = cpus
        self._cpus_free = cpus_free
        self._fails: Iterator[bool] = cycle([True, False] if flaky else [False])

    def _bad_day(self) -> None:
        if next(self._fails):
            raise UnavailableError("a bad day")

    async def submit(self, task: RunTask) -> None:
        """Take it."""
        self._bad_day()
        self.tasks[run_name(task.workload_id, task.attempt)] = task

    async def observe(self, job: NativeJob) -> Observation | None:
        """Look."""
        self._bad_day()
        return Observation.RUNNING if job.native_id in self.tasks else None

    async def cancel(self, job: NativeJob, tasks: str | None = None) -> Cancelled:  # noqa: ARG002 (a fake of one job)
        """End it at once."""
        self._bad_day()
        self.tasks.pop(job.native_id, None)
        return Cancelled.GONE

    async def capacity(self) -> Capacity:
        """Say how large it is."""
        self._bad_day()
        told = {"memory": 2**34, "memory_free": 2**34, "largest_cpus": self._cpus, "largest_memory": 2**34}
        return Capacity(cpus=self._cpus, cpus_free=self._cpus_free, **{**told, **self._room})

"""Measures what a run uses, from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime

from contracts.model import now
from contracts.workloads import Usage
from services.scheduler.pilot.census import Member
from services.scheduler.pilot.process import Exit

from .gpus import Gpus

__all__ = ["EARLY", "Meter", "proportional_size"]

EARLY = (0.02, 0.08, 0.2)
"""Seconds between the first looks: short runs have a peak too."""


class Meter:
    """Adds up what one run uses."""

    def __init__(
        self, *, started_at: datetime, gpus: Gpus, indices: list[int], age: float | None = None, boxed: bool = False
    ) -> None:
        """*age*: for how many seconds it has been running, where that is known better than by the clock on the wall.

        What runs *boxed* descends from the engine: what descends from its first process only looks after it.
        """
        if age is None:
            age = max(0.0, (now() - started_at).total_seconds())
        # From here on by a clock that nobody sets: the one on the wall may jump while it runs.
        self._began = _ticking() - age
        self._boxed = boxed
        self._gpus = gpus
        self._indices = indices
        self._memory_before = gpus.memory_used(indices)
        self._cpu = 0.0
        self._strays: dict[tuple[int, int], float] = {}
        self._memory_peak: int | None = None
        self._gpu_seconds = 0.0
        self._gpu_memory_peak = 0
        self._looked = time.monotonic()

    def look(self, members: Iterable[Member]) -> int:
        """Take a sample; return the bytes that the processes hold now."""
        cpu, memory = 0.0, 0
        for member in members:
            if self._boxed and member.inside:
                continue
            memory += member.proc.rss
            if member.inside:
                cpu += member.proc.cpu
            else:
                self._strays[member.proc.pid, member.proc.started] = member.proc.cpu
            self._see_peak(_high_water(member.proc.pid))
        self._cpu = max(self._cpu, cpu)
        if memory:
            self._see_peak(memory)
        self._look_at_gpus()
        return memory

    @property
    def has_seen(self) -> bool:
        """Say whether it has seen anything of the run."""
        return self._memory_peak is not None

    def so_far(self) -> Usage:
        """Return the usage up to now."""
        return self._usage(self.elapsed, self._cpu)

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return _ticking() - self._began

    def at_end(self, ended: Exit) -> Usage:
        """Return the usage of a run that has ended."""
        self._look_at_gpus()
        self._see_peak(0 if self._boxed else ended.max_rss)
        since = max(0.0, now().timestamp() - ended.at)
        return self._usage(self.elapsed - since, max(self._cpu, ended.cpu_seconds))

    def _usage(self, wall: float, cpu: float) -> Usage:
        return Usage(
            wall_seconds=max(0.0, wall),
            cpu_seconds=cpu + sum(self._strays.values()),
            memory_peak=self._memory_peak,
            gpu_seconds=self._gpu_seconds,
            gpu_memory_peak=self._gpu_memory_peak,
        )

    def _see_peak(self, size: int) -> None:
        if size:
            self._memory_peak = max(self._memory_peak or 0, size)

    def _look_at_gpus(self) -> None:
        moment = time.monotonic()
        if self._indices:
            self._gpu_seconds += self._gpus.busy(self._indices) * (moment - self._looked)
            held = self._gpus.memory_used(self._indices) - self._memory_before
            self._gpu_memory_peak = max(self._gpu_memory_peak, held)
        self._looked = moment


def _high_water(pid: int) -> int:
    return _field(f"/proc/{pid}/status", b"VmHWM:")


def proportional_size(members: Iterable[Member]) -> int:
    """Return the bytes that processes hold, counting shared pages once; dearer than their resident sets."""
    return sum(_field(f"/proc/{member.proc.pid}/smaps_rollup", b"\nPss:") or member.proc.rss for member in members)


def _field(path: str, name: bytes) -> int:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    with os.fdopen(handle, "rb", buffering=0) as file:
        try:
            _, found, rest = file.read(8192).partition(name)
        except OSError:
            return 0
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def _ticking() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)

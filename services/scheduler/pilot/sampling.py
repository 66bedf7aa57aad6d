"""Measures what a run uses, from outside, and ends one that uses too much memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat
from typing import Any, Generic, TypeVar

from .census import Census, Member
from .gpus import Gpus
from .process import Exit
from .system import tick

__all__ = ["EARLY", "Meter", "sample", "watch"]

_U = TypeVar("_U")

EARLY = (0.02, 0.08, 0.2)
"""Seconds between the first looks: short runs have a peak too."""
_SHARED = 0.25
"""Seconds for which runs share one look at the processes, at most."""


class Meter(Generic[_U]):
    """Adds up what one run uses."""

    def __init__(self, gpus: Gpus, age: float, usage: Callable[..., _U]) -> None:
        """Begin *age* seconds ago: a run that is short may be over by now. *usage* makes one of the figures."""
        # From here on by a clock that nobody sets: the one on the wall may jump while it runs.
        self._began = tick() - max(0.0, age)
        self._make = usage
        self._gpus = gpus
        self._memory_before = gpus.memory_used()
        self._cpu = 0.0
        self._strays: dict[tuple[int, int], float] = {}
        self._memory_peak: int | None = None
        self._gpu_seconds = 0.0
        self._gpu_memory_peak = 0
        self._looked = tick()

    def look(self, members: Iterable[Member]) -> int:
        """Take a sample; return the bytes that the processes hold now."""
        cpu, memory = 0.0, 0
        for member in members:
            memory += member.proc.rss
            if member.inside:
                cpu += member.proc.cpu
            else:
                self._strays[member.proc.pid, member.proc.started] = member.proc.cpu
            self._see_peak(_field(f"/proc/{member.proc.pid}/status", b"VmHWM:"))
        self._cpu = max(self._cpu, cpu)
        self._see_peak(memory)
        self._look_at_gpus()
        return memory

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return tick() - self._began

    def pauses(self, every: float) -> Iterator[float]:
        """Return the seconds between looks."""
        return chain(EARLY, repeat(every))

    def so_far(self) -> _U:
        """Return the usage up to now."""
        return self._usage(self.elapsed, self._cpu)

    def at_end(self, ended: Exit) -> _U:
        """Return the usage of a run that has ended."""
        self._look_at_gpus()
        self._see_peak(ended.max_rss)
        since = max(0.0, time.time() - ended.at)
        return self._usage(self.elapsed - since, max(self._cpu, ended.cpu_seconds))

    def _usage(self, wall: float, cpu: float) -> _U:
        return self._make(
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
        moment = tick()
        if len(self._gpus):
            self._gpu_seconds += self._gpus.busy() * (moment - self._looked)
            self._gpu_memory_peak = max(self._gpu_memory_peak, self._gpus.memory_used() - self._memory_before)
        self._looked = moment


async def watch(
    *, census: Census, run: str, meter: Meter[Any], every: float, memory: int | None, end: Callable[[str], object]
) -> None:
    """Sample a run until cancelled, and *end* it if it holds more than *memory* bytes."""
    for pause in meter.pauses(every):
        await asyncio.sleep(pause)
        census.reap()
        why = sample(census=census, run=run, meter=meter, memory=memory, max_age=min(pause / 2, _SHARED))
        if why:
            end(why)


def sample(*, census: Census, run: str, meter: Meter[Any], memory: int | None, max_age: float = _SHARED) -> str:
    """Measure a run; say why it is to be ended if it holds more than *memory* bytes, else nothing."""
    members = census.members(run, max_age=max_age)
    held = meter.look(members)
    if not memory or held <= memory:
        return ""
    # Pages that processes share count in each of them: look closer before a run is ended for that. Whoever has ended
    # meanwhile holds nothing.
    held = sum(_held(one.proc.pid) for one in members)
    return f"it held {held} bytes of memory, {memory} were asked for" if held > memory else ""


def _held(pid: int) -> int:
    """Return the bytes that a process holds of its own and its part of what is shared, where the kernel says that."""
    return _field(f"/proc/{pid}/smaps_rollup", b"\nPss:") or _field(f"/proc/{pid}/status", b"\nVmRSS:")


def _field(path: str, name: bytes) -> int:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            _, found, rest = file.read(8192).partition(name)
    except OSError:
        return 0
    return int(rest.split(None, 1)[0]) * 1024 if found else 0

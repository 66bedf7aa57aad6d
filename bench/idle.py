"""What the whole stack costs when nothing happens."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

__all__ = ["Idle", "measure", "processes_of"]

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Idle:
    """Memory in MiB and CPU in percent of one core, over all processes of the stack."""

    processes: int
    pss: float
    """Shared pages counted once."""
    rss: float
    cpu_percent: float
    by_name: dict[str, tuple[float, float]]
    """Command to (PSS MiB, CPU percent)."""


def processes_of(root: int) -> list[psutil.Process]:
    """Return the stack's processes: the one that was started and all below it."""
    top = psutil.Process(root)
    return [top, *top.children(recursive=True)]


def measure(processes: Iterable[psutil.Process], seconds: float) -> Idle:
    """Watch for *seconds*."""
    watched = list(processes)
    before = [sum(process.cpu_times()[:2]) for process in watched]
    time.sleep(seconds)
    spent = [sum(process.cpu_times()[:2]) - then for process, then in zip(watched, before, strict=True)]
    memory = [process.memory_full_info() for process in watched]
    by_name: dict[str, tuple[float, float]] = {}
    for process, used, held in zip(watched, spent, memory, strict=True):
        name = f"{process.pid} {' '.join(process.cmdline())[:60]}"
        by_name[name] = (held.pss / _MIB, 100 * used / seconds)
    return Idle(
        processes=len(watched),
        pss=sum(held.pss for held in memory) / _MIB,
        rss=sum(held.rss for held in memory) / _MIB,
        cpu_percent=100 * sum(spent) / seconds,
        by_name=by_name,
    )

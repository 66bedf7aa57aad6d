"""Who runs on this node, and for which run: also what an earlier runner started, which does not descend from us."""

from __future__ import annotations

import time

from services.scheduler.pilot import census

__all__ = ["KEEPER", "Census", "age_of", "start_of"]

KEEPER = "SHUNTER_KEEPER"
"""The environment variable of what holds an isolated run. That is not asked to end with its program, or the program
would be killed before it could end by itself; its program does not inherit it."""


def start_of(pid: int) -> int | None:
    """Return when a process started, or None if there is no living one."""
    proc = census.read_stat(pid)
    return proc.started if proc else None


def age_of(pid: int) -> float | None:
    """Return for how many seconds a process has been living, by a clock that nobody sets, or None if it does not."""
    started = start_of(pid)
    return None if started is None else max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started * census.TICK)


class Census(census.Census):
    """Tells the processes of each run. *reaping* says that we are a subreaper and own nothing but runs' processes."""

    def __init__(self, *, reaping: bool = False) -> None:
        super().__init__()
        self.reaping = reaping

    def is_asked(self, proc: census.Proc) -> bool:
        """Say whether a process of a run is asked to end: what holds a box would take all inside along."""
        return census.read_variable(proc.pid, KEEPER) is None

    def is_clean(self) -> bool:
        """Say whether surely no process outlived its run's first one; False means: look closer."""
        return self.reaping and super().is_clean()

    def reap(self) -> None:
        """Bury orphans that came to us and died."""
        if self.reaping:
            super().reap()

    def _pids(self, *, wide: bool) -> list[int]:  # noqa: ARG002 (it is always the whole node)
        return census.everybody()

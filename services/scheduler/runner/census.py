"""Who runs on this node, and for which run: the kernel's table of processes, read once for all."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["KEEPER", "MARKER", "Census", "Member", "Proc", "age_of", "has_variable", "start_of"]

MARKER = "SHUNTER_RUN"
"""The environment variable that every process of a run inherits, however far it strays."""

KEEPER = "SHUNTER_KEEPER"
"""The environment variable of what holds an isolated run. That is not asked to end with its program, or the program
would be killed before it could end by itself; its program does not inherit it."""

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Proc:
    """A living process."""

    pid: int
    parent: int
    session: int
    started: int
    """Clock ticks since the boot; with the number it names a process for ever."""
    cpu: float
    """Seconds, with those of the children it waited for."""
    rss: int


@dataclass(frozen=True, slots=True)
class Member:
    """A process of a run; *inside* if it still descends from the run's first process."""

    proc: Proc
    inside: bool


def start_of(pid: int) -> int | None:
    """Return when a process started, or None if there is no living one."""
    proc = _read_stat(pid)
    return proc.started if proc else None


def age_of(pid: int) -> float | None:
    """Return for how many seconds a process has been living, by a clock that nobody sets, or None if it does not."""
    started = start_of(pid)
    return None if started is None else max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started * _TICK)


def _read_stat(pid: int) -> Proc | None:
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (thousands of times; a Path costs more)
            raw = file.read(2048)
    except OSError:
        return None
    # The name is in parentheses and may hold anything, parentheses and spaces too.
    rest = raw[raw.rfind(b")") + 2 :].split()
    if len(rest) < 22 or rest[0] in {b"Z", b"X"}:
        return None
    cpu = (int(rest[11]) + int(rest[12]) + int(rest[13]) + int(rest[14])) * _TICK
    return Proc(pid, int(rest[1]), int(rest[3]), int(rest[19]), cpu, int(rest[21]) * _PAGE)


def has_variable(pid: int, name: str) -> bool:
    """Say whether a process was started with a variable in its environment."""
    return _read_variable(pid, name) is not None


def _read_variable(pid: int, name: str) -> str | None:
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
            raw = b"\0" + file.read()
    except OSError:
        return None
    _, found, after = raw.partition(b"\0" + name.encode() + b"=")
    return after.partition(b"\0")[0].decode(errors="replace") if found else None


class Census:
    """Tells the processes of each run. *reaping* says that we are a subreaper and own nothing but runs' processes."""

    def __init__(self, *, reaping: bool = False) -> None:
        self.reaping = reaping
        self.roots: dict[str, int] = {}
        """The first process of each run that lives."""
        self._marks: dict[int, tuple[int, str | None]] = {}
        self._table: dict[int, Proc] = {}
        self._read_at = -1.0

    def members(self, run: str, *, max_age: float = 0.0) -> list[Member]:
        """Return the living processes of a run, as they were at most *max_age* seconds ago."""
        if time.monotonic() - self._read_at > max_age:
            self._read()
        root = self.roots.get(run)
        found = []
        for proc in self._table.values():
            inside = root is not None and _descends(proc, root, self._table)
            if inside or proc.session == root or self._mark(proc) == run:
                found.append(Member(proc, inside))
        return found

    def is_clean(self) -> bool:
        """Say whether surely no process outlived its run's first one; False means: look closer."""
        if not self.reaping:
            return False
        roots = set(self.roots.values())
        return all(pid in roots for pid in _children())

    def reap(self) -> None:
        """Bury orphans that came to us and died."""
        if self.reaping:
            for pid in _children() - set(self.roots.values()):
                with suppress(OSError):
                    os.waitpid(pid, os.WNOHANG)

    def _read(self) -> None:
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208
        self._table = {pid: proc for pid in pids if (proc := _read_stat(pid))}
        self._marks = {pid: mark for pid, mark in self._marks.items() if pid in self._table}
        self._read_at = time.monotonic()

    def _mark(self, proc: Proc) -> str | None:
        known = self._marks.get(proc.pid)
        if known is None or known[0] != proc.started:
            known = (proc.started, _read_variable(proc.pid, MARKER))
            self._marks[proc.pid] = known
        return known[1]


def _descends(proc: Proc, root: int, table: Mapping[int, Proc]) -> bool:
    seen = 0
    while proc.pid != root:
        above = table.get(proc.parent)
        seen += 1
        if above is None or seen > 10_000:
            return False
        proc = above
    return True


def _children() -> set[int]:
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):  # noqa: PTH208
        with suppress(OSError), open(f"/proc/self/task/{thread}/children", "rb") as file:  # noqa: PTH123
            found.update(int(pid) for pid in file.read().split())
    return found

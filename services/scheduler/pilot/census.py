"""Who runs here, and for which run: the pilot's descendants, of which it is the subreaper."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["MARKER", "TICK", "Census", "Member", "Proc", "everybody", "read_stat", "read_variable"]

MARKER = "SHUNTER_RUN"
"""The environment variable that every process of a run inherits, however far it strays."""

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
"""Seconds of a clock tick."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Member:
    """A process of a run; *inside* if it still descends from the run's first process."""

    proc: Proc
    inside: bool


def read_stat(pid: int) -> Proc | None:
    """Return a process, or None if there is no living one of this number."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123 (many times; a Path costs more)
            raw = file.read(2048)
    except OSError:
        return None
    # The name is in parentheses and may hold anything, parentheses and spaces too.
    rest = raw[raw.rfind(b")") + 2 :].split()
    if len(rest) < 22 or rest[0] in {b"Z", b"X"}:
        return None
    cpu = (int(rest[11]) + int(rest[12]) + int(rest[13]) + int(rest[14])) * TICK
    return Proc(pid, int(rest[1]), int(rest[3]), int(rest[19]), cpu, int(rest[21]) * _PAGE)


def read_variable(pid: int, name: str) -> str | None:
    """Return a variable of the environment that a process was started with."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
            raw = b"\0" + file.read()
    except OSError:
        return None
    _, found, after = raw.partition(b"\0" + name.encode() + b"=")
    return after.partition(b"\0")[0].decode(errors="replace") if found else None


class Census:
    """Tells the processes of each run."""

    def __init__(self) -> None:
        self.roots: dict[str, int] = {}
        """The first process of each run that lives."""
        self._marks: dict[int, tuple[int, str | None]] = {}
        self._table: dict[int, Proc] = {}
        self._read_at = -1.0

    def members(self, run: str, *, max_age: float = 0.0, wide: bool = False) -> list[Member]:
        """Return the living processes of a run, as they were at most *max_age* seconds ago.

        *wide* looks at the whole node: the short way to our descendants may miss one while others come and go.
        """
        if wide or time.monotonic() - self._read_at > max_age:
            self._read(wide=wide)
        root = self.roots.get(run)
        found = []
        for proc in self._table.values():
            inside = root is not None and _descends(proc, root, self._table)
            if inside or (root is not None and proc.session == root) or self._mark(proc) == run:
                found.append(Member(proc, inside))
        return found

    def is_asked(self, _proc: Proc) -> bool:
        """Say whether a process of a run is asked to end before it is made to."""
        return True

    def is_clean(self) -> bool:
        """Say whether surely no process outlived its run's first one; False means: look closer."""
        roots = set(self.roots.values())
        return _can_list_children() and all(pid in roots for pid in _children(os.getpid()))

    def reap(self) -> None:
        """Bury orphans that came to us and died."""
        for pid in set(_children(os.getpid())) - set(self.roots.values()):
            with suppress(OSError):
                os.waitpid(pid, os.WNOHANG)

    def _read(self, *, wide: bool) -> None:
        self._table = {pid: proc for pid in self._pids(wide=wide) if (proc := read_stat(pid))}
        self._marks = {pid: mark for pid, mark in self._marks.items() if pid in self._table}
        self._read_at = time.monotonic()

    def _pids(self, *, wide: bool) -> list[int]:
        return _descendants(os.getpid()) if not wide and _can_list_children() else everybody()

    def _mark(self, proc: Proc) -> str | None:
        known = self._marks.get(proc.pid)
        if known is None or known[0] != proc.started:
            known = (proc.started, read_variable(proc.pid, MARKER))
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


def everybody() -> list[int]:
    """Return the numbers of all processes of this node."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _can_list_children() -> bool:
    """Say whether this kernel tells the children of a process."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                yield from (int(word) for word in file.read().split())


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    ahead = [pid]
    while ahead:
        below = list(_children(ahead.pop()))
        found += below
        ahead += below
    return found

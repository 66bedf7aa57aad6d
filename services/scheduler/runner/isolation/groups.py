"""The kernel's control groups: limits for all processes of a run together, in the first and the second version."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Controller", "Limits", "find_controllers", "limit", "memory_kills", "missing", "remove", "usable"]

_WANTED = ("memory", "pids", "cpu")
_PERIOD = 100_000
"""Microseconds in which a run has its cores' time."""
_LEAST = 1_000
"""Microseconds; the kernel takes no smaller share."""
_PATIENCE = 1.0
"""Seconds that the kernel has to bury the last process of a group."""
_LOOK_EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use."""

    memory: int | None
    cpus: float
    processes: int


@dataclass(frozen=True, slots=True)
class Controller:
    """What the kernel can limit, and the group below which we may make ours."""

    name: str
    base: Path
    unified: bool
    """Whether it is of the second version."""

    def settings(self, limits: Limits) -> list[tuple[str, str, bool]]:
        """Return files of a group, what is written to them, and whether they have to be there."""
        quota = max(_LEAST, round(limits.cpus * _PERIOD))
        if self.name == "pids":
            return [("pids.max", str(limits.processes), True)]
        if self.name == "cpu" and self.unified:
            return [("cpu.max", f"{quota} {_PERIOD}", True)]
        if self.name == "cpu":
            return [("cpu.cfs_period_us", str(_PERIOD), True), ("cpu.cfs_quota_us", str(quota), True)]
        if limits.memory is None:
            return []
        size = str(limits.memory)
        if self.unified:
            return [("memory.max", size, True), ("memory.swap.max", "0", False), ("memory.oom.group", "1", False)]
        return [("memory.limit_in_bytes", size, True), ("memory.memsw.limit_in_bytes", size, False)]


def find_controllers(mounts: str, membership: str, base: Path | None = None) -> list[Controller]:
    """Return what can be limited, by the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.

    *base* is a group of the second version that was given to us, in the place of our own.
    """
    own = {name: path for _, names, path in _split(membership) for name in names.split(",")}
    found: dict[str, Controller] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            group = base or _below(root, point, own.get("", "/"))
            for name in _read(group / "cgroup.controllers").split():
                found.setdefault(name, Controller(name, group, unified=True))
        elif kind == "cgroup":
            for name in set(options.split(",")) & own.keys():
                found[name] = Controller(name, _below(root, point, own[name]), unified=False)
    return [found[name] for name in _WANTED if name in found]


def missing(controllers: Iterable[Controller]) -> list[str]:
    """Return what cannot be limited."""
    known = {controller.name for controller in controllers}
    return [name for name in _WANTED if name not in known]


def usable(controllers: Sequence[Controller]) -> tuple[list[Controller], list[str]]:
    """Return those with which a group can be made here, and why the others cannot."""
    good, reasons = [], [f"this host lets nobody limit {name} by control groups" for name in missing(controllers)]
    for controller in controllers:
        name = f"shunter-trial-{os.getpid()}"
        try:
            if controller.unified and controller.name not in _read(controller.base / "cgroup.subtree_control").split():
                (controller.base / "cgroup.subtree_control").write_text(f"+{controller.name}")
            limit([controller], name, Limits(memory=2**30, cpus=1.0, processes=100))
            good.append(controller)
        except OSError as error:
            reasons.append(f"{controller.name} cannot be limited in {controller.base}: {error.strerror}")
        remove([controller.base / name])
    return good, reasons


def limit(controllers: Iterable[Controller], name: str, limits: Limits) -> list[Path]:
    """Make the groups of a run; return those that its processes have to join."""
    made: dict[Path, None] = {}
    for controller in controllers:
        group = controller.base / name
        group.mkdir(exist_ok=True)
        made[group] = None
        for file, value, is_needed in controller.settings(limits):
            if is_needed or (group / file).exists():
                (group / file).write_text(value)
    return list(made)


def memory_kills(groups: Iterable[Path]) -> int:
    """Return how many processes the kernel has ended because a group held all the memory that it may."""
    texts = (_read(group / file) for group in groups for file in ("memory.events", "memory.oom_control"))
    lines = (line.split() for text in texts for line in text.splitlines())
    return sum(int(words[1]) for words in lines if words[0] == "oom_kill")


def remove(groups: Iterable[Path]) -> None:
    """Remove groups; one that is in use after a moment is left alone."""
    deadline = time.monotonic() + _PATIENCE
    for group in groups:
        while group.is_dir():
            with suppress(OSError):
                group.rmdir()
                break
            if time.monotonic() > deadline:
                return
            time.sleep(_LOOK_EVERY)


def _split(membership: str) -> list[tuple[str, str, str]]:
    parts = (line.split(":", 2) for line in membership.splitlines() if line.count(":") >= 2)
    return [(number, names, path) for number, names, path in parts]


def _below(root: str, point: str, path: str) -> Path:
    """Return where a group lies; containers see only a part of the tree, and their own group as its root."""
    inner = path.removeprefix(root.rstrip("/")) if path.startswith(root) else ""
    group = Path(point, inner.strip("/"))
    return group if group.is_dir() else Path(point)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""What the pilot asks of the system for itself."""

from __future__ import annotations

import ctypes
import os

__all__ = ["become_subreaper", "die_with_parent", "hide_ourselves", "node_name", "tick"]

_SET_PARENT_DEATH_SIGNAL = 1
_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> bool:
    """Have orphans of our descendants become our children, where the system can do that."""
    return _prctl(_SET_CHILD_SUBREAPER, 1)


def hide_ourselves() -> bool:
    """Keep other processes of the same user, its programs among them, from reading our environment and memory."""
    return _prctl(_SET_DUMPABLE, 0)


def die_with_parent(number: int) -> bool:
    """Have us be sent a signal when our parent is gone."""
    return _prctl(_SET_PARENT_DEATH_SIGNAL, number)


def node_name() -> str:
    """Return the name of this node, as its cluster calls it."""
    return os.environ.get("SLURMD_NODENAME") or os.uname().nodename


def tick() -> float:
    """Return seconds by a clock that nobody sets."""
    import time

    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False

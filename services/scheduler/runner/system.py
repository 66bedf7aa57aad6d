"""What the runner asks of the system for itself."""

from __future__ import annotations

import ctypes
import functools
from contextlib import suppress
from pathlib import Path

__all__ = ["become_subreaper", "boot_id", "hide_ourselves", "return_memory"]

_SET_CHILD_SUBREAPER = 36
_SET_DUMPABLE = 4


@functools.cache
def boot_id() -> str:
    """Return the name of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def become_subreaper() -> bool:
    """Have orphans of our descendants become our children, where the system can do that."""
    return _prctl(_SET_CHILD_SUBREAPER, 1)


def hide_ourselves() -> bool:
    """Keep other processes of the same user from reading our environment and memory."""
    return _prctl(_SET_DUMPABLE, 0)


def return_memory() -> None:
    """Give back what loading the program took and no longer needs: a few megabytes of each runner."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _prctl(option: int, value: int) -> bool:
    try:
        return bool(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False

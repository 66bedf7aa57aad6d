"""What the runner asks of the system for itself."""

from __future__ import annotations

import ctypes
import functools
from contextlib import suppress
from pathlib import Path

__all__ = ["boot_id", "return_memory"]


@functools.cache
def boot_id() -> str:
    """Return the name of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def return_memory() -> None:
    """Give back what loading the program took and no longer needs: a few megabytes of each runner."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

"""Gives back the pages of a server's program that only its start needed: a hundred megabytes of code and tables."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["give_back_program"]

_PROCESS_MADVISE = 440
"""The system call, on x86-64 and on 64-bit Arm; glibc has a name for it only of late."""
_PAGE_OUT = 21
_MOST = 512
"""Ranges in one call."""

_libc = ctypes.CDLL(None, use_errno=True)


class _Range(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


def give_back_program(pid: int) -> bool:
    """Have the kernel drop what it holds in memory of a process's own program; what is needed again is read again.

    Returns whether it could be done: the kernel or the rights may not allow it, and nothing depends on it.
    """
    with suppress(OSError):
        ranges = [_Range(start, end - start) for start, end in _of_program(pid)][:_MOST]
        handle = os.pidfd_open(pid)
        try:
            array = (_Range * len(ranges))(*ranges)
            return bool(_libc.syscall(_PROCESS_MADVISE, handle, array, len(ranges), _PAGE_OUT, 0) >= 0 and ranges)
        finally:
            os.close(handle)
    return False


def _of_program(pid: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of a process's memory that hold its program's file and are not written to."""
    program = str(Path(f"/proc/{pid}/exe").readlink())
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
        if name.strip() == program and "w" not in rights:
            start, _, end = place.partition("-")
            yield int(start, 16), int(end, 16)

"""Starting and ending the processes of the stack. Linux only, and only from a process with one thread."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import psutil

from .parts import Part

__all__ = [
    "Child",
    "adopt_orphans",
    "become",
    "end_with_parent",
    "is_alive",
    "kill_family",
    "launch",
    "memory_of",
    "start_time",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Child:
    """A running part. The start time tells it from a later process with the same number."""

    part: Part
    pid: int
    started: float


def start_time(pid: int) -> float | None:
    """Return when a process began, or None if there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def is_alive(pid: int, started: float) -> bool:
    """Say whether the very process still runs; the clock may have been set meanwhile."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def memory_of(pid: int) -> tuple[int, int]:
    """Return a process's share of memory (PSS) and all that it sees of it (RSS), in bytes."""
    try:
        full = psutil.Process(pid).memory_full_info()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0, 0
    return full.pss, full.rss


def adopt_orphans() -> None:
    """Become the parent of whatever our children leave behind, so that nothing escapes at the end."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Have this process told *number* when its parent dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


def launch(part: Part, mask: set[signal.Signals]) -> Child:
    """Start a part in a session of its own, its output going to its log; it ends when we die."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _start_child(part, mask, parent)
    return Child(part, pid, start_time(pid) or time.time())


def _start_child(part: Part, mask: set[signal.Signals], parent: int) -> NoReturn:
    try:
        os.setsid()
        end_with_parent(signal.SIGKILL if part.kill else signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        _redirect(part)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        become(part)
    except BaseException:  # noqa: BLE001 (nothing may return into the parent's code)
        traceback.print_exc()
    finally:
        os._exit(1)


def _redirect(part: Part) -> None:
    sink = os.open(part.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (sink, 1), (sink, 2)):
        os.dup2(source, target)
    os.closerange(3, 1024)


def _step_back(nice: int) -> None:
    """Take a lower priority; where the kernel shares time among sessions (autogroup), the session has to."""
    os.nice(nice)
    if nice and os.getsid(0) == os.getpid():  # not the session of a terminal, where others run too
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(nice))


def become(part: Part) -> NoReturn:
    """Turn this process into the part: execute the server, or run the service and exit."""
    _step_back(part.nice)
    os.chdir(part.folder)
    os.environ.update(part.env)
    if part.is_server:
        os.execv(part.argv[0], part.argv)  # noqa: S606 (no shell is wanted)
    _libc.prctl(_PR_SET_NAME, f"shunter-{part.name}"[:15].encode(), 0, 0, 0)
    code = 0
    try:
        import_module(part.module).run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # noqa: BLE001 (said in the log, and by the exit code)
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def kill_family(pid: int) -> None:
    """Kill a process, its session and all that descends from it."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()

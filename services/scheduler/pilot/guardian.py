"""The first process of a native job: it does nothing but see that nothing is left when the pilot is gone."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from .system import become_subreaper, die_with_parent

__all__ = ["guard"]

_TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LOOK_EVERY = 0.02


def guard(*folders: str) -> None:
    """Go on in a process of our own; this one waits for its end, kills what it left, removes *folders*, and ends too.

    Whoever is orphaned below a subreaper becomes its child, so nothing can hide from it.
    """
    become_subreaper()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TOLD)
    pilot = os.fork()
    if pilot:
        for number in _TOLD:
            signal.signal(number, lambda _number, _frame: _tell(pilot))
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os._exit(_see_to_the_end(pilot, folders))
    # Should this guardian be killed, with its process group or alone, the pilot ends what it runs: nobody else would.
    os.setpgid(0, 0)
    die_with_parent(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tell(pilot: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pilot, signal.SIGTERM)


def _see_to_the_end(pilot: int, folders: tuple[str, ...]) -> int:
    status = 0
    while True:
        try:
            pid, ended = os.wait()
        except ChildProcessError:
            break
        if pid == pilot:
            status = ended
            break
    _kill_children()
    _remove(folders)
    if os.WIFSIGNALED(status):
        sys.stderr.write(f"shunter pilot: killed by signal {os.WTERMSIG(status)}\n")
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)


def _kill_children() -> None:
    """Kill what became ours, and what becomes ours by that, until nothing is left."""
    while True:
        for pid in _children():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        time.sleep(_LOOK_EVERY)


def _children() -> list[int]:
    found, own = [], str(os.getpid()).encode()
    for name in os.listdir("/proc"):  # noqa: PTH208 (a Path costs memory that is held for as long as the job lives)
        if name.isdigit():
            with suppress(OSError, IndexError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                raw = file.read()
                if raw[raw.rfind(b")") + 2 :].split()[1] == own:
                    found.append(int(name))
    return found


def _remove(folders: tuple[str, ...]) -> None:
    there = [folder for folder in folders if folder and os.path.isdir(folder)]  # noqa: PTH112
    if there:
        import shutil

        for folder in there:
            shutil.rmtree(folder, ignore_errors=True)

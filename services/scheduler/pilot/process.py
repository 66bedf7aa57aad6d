"""Starts the process of a run, and tells how it ended."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .folder import FAILURE, RunFolder

__all__ = ["SHELL", "WRAPPER", "Child", "Exit", "SpawnError", "bury", "find_program", "read_exit", "spawn"]

WRAPPER = """
trap : HUP INT QUIT USR1 USR2 ALRM
_shunter_told=0
trap _shunter_told=1 TERM
ulimit -c 0
cd -- "$1" || exit 126
exec 3>&2 2>"$3"
_shunter_exit=$2
shift 3
(exec "$@" 2>&3 3>&-)
set -- $?
{ echo "$1
told $_shunter_told"; times; } >"$_shunter_exit"
exit $1
"""
"""Outlives the user's program by a moment and writes down how it ended, and whether it was told to end itself; is given
a working folder, where to write that, where the shell may complain, and the program. Its traps are not inherited: they
only keep the shell itself alive while its program is told to end. What the shell says of its program's death goes to a
file of its own; without the subshell it would go to the program's. A variable of the user's that had the name of one
of these would be given to the program with our value."""

SHELL = "/bin/sh"
"""What starts the wrapper."""
_UNTOLD = "told 0"
_TIMES = re.compile(r"(\d+)m([\d.]+)s")
_DIES_SILENTLY = {signal.SIGINT, signal.SIGPIPE, signal.SIGTERM}
"""Shells say why a program died, except for these."""


class SpawnError(Exception):
    """The program cannot be started; the code is the one that shells give."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Exit:
    """How a process ended. *code* is none if nobody saw it."""

    code: int | None
    signaled: bool
    cpu_seconds: float
    max_rss: int
    """Bytes of the largest process, 0 if that is not known."""
    at: float
    message: str = ""
    """Why the program could not even be started."""
    told: bool = True
    """Whether its wrapper may have been told to end, before its program was or never: those of old do not say."""


def find_program(argv: Sequence[str], path: str, cwd: os.PathLike[str]) -> list[str]:
    """Return *argv* with its program spelled out, so that no shell takes it for a word of its own."""
    program = argv[0]
    if "/" in program:
        places = [os.path.join(cwd, program)]  # noqa: PTH118
    else:
        places = [os.path.join(cwd, folder or ".", program) for folder in path.split(os.pathsep)]  # noqa: PTH118
    denied = False
    for place in places:
        if os.path.isfile(place) and os.access(place, os.X_OK):  # noqa: PTH113
            return [place, *argv[1:]]
        denied = denied or os.path.exists(place)  # noqa: PTH110
    if denied:
        raise SpawnError(126, f"{program}: cannot be executed")
    raise SpawnError(127, f"{program}: not found")


def spawn(folder: RunFolder, argv: Sequence[str], env: Mapping[str, str]) -> Child:
    """Start a program in a session of its own, its output going to files."""
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    wrapped = [SHELL, "-c", WRAPPER, "shunter-run", str(folder.work), str(folder.exit), str(folder.shell), *argv]
    handles = [os.open(str(path), append, 0o600) for path in (folder.stdout, folder.stderr)]
    try:
        process = subprocess.Popen(  # noqa: S603 (a user's program is what we are here for)
            wrapped,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=handles[0],
            stderr=handles[1],
            start_new_session=True,
        )
    except OSError as error:
        raise SpawnError(126, f"{argv[0]}: cannot be started: {error.strerror}") from error
    finally:
        for handle in handles:
            os.close(handle)
    return Child(folder, process)


class Child:
    """A run's first process."""

    def __init__(self, folder: RunFolder, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self._folder = folder
        self._process = process
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        # A thread for each: handles of processes are too new for the kernels of many clusters.
        threading.Thread(target=self._bury, args=(asyncio.get_running_loop(),), daemon=True).start()

    async def wait(self) -> Exit:
        """Wait for the end and say how it was."""
        return await asyncio.shield(self._ended)

    def _bury(self, loop: asyncio.AbstractEventLoop) -> None:
        ended = bury(self._folder, self.pid)
        self._process.returncode = ended.code
        loop.call_soon_threadsafe(self._settle, ended)

    def _settle(self, ended: Exit) -> None:
        if not self._ended.done():
            self._ended.set_result(ended)


def bury(folder: RunFolder, pid: int) -> Exit:
    """Wait for a process that we started, and return how it ended."""
    _, status, used = os.wait4(pid, 0)
    cpu, rss = used.ru_utime + used.ru_stime, 0
    # Whoever is forked starts with the resident set of its parent: only what is larger than ours is news.
    if used.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        rss = used.ru_maxrss * 1024
    return read_exit(folder, status=status, cpu=cpu, max_rss=rss)


def read_exit(folder: RunFolder, *, status: int | None = None, cpu: float = 0.0, max_rss: int = 0) -> Exit:
    """Return how a run's process ended by what the wrapper wrote, else by its own wait *status*, if we have it."""
    try:
        text = folder.exit.read_text()
        # The clock of files is coarse: who saw the end itself knows better.
        at = time.time() if status is not None else folder.exit.stat().st_mtime
    except OSError:
        text, at = "", time.time()
    first, newline, times = text.partition("\n")
    if newline and first.isdigit():
        spent = sum(int(minutes) * 60 + float(seconds) for minutes, seconds in _TIMES.findall(times))
        code = int(first)
        message = times[len(FAILURE) :].strip() if times.startswith(FAILURE) else ""
        told = not times.startswith(_UNTOLD)
        return Exit(code, _was_signaled(folder, code), max(cpu, spent), max_rss, at, message, told)
    if status is None:
        return Exit(None, False, cpu, max_rss, at)
    if os.WIFSIGNALED(status):
        return Exit(128 + os.WTERMSIG(status), True, cpu, max_rss, at)
    return Exit(os.WEXITSTATUS(status), False, cpu, max_rss, at)


def _was_signaled(folder: RunFolder, code: int) -> bool:
    """Tell a death by signal from a program that ended with such a code itself: shells say something of the former."""
    try:
        number = signal.Signals(code - 128)
    except ValueError:
        return False
    return number in _DIES_SILENTLY or (folder.shell.exists() and folder.shell.stat().st_size > 0)

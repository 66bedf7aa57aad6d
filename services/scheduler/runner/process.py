"""Starts the process of a run, and tells how it ended: also to a runner that did not start it."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.model import now

from .journal import FAILURE, RunFolder

__all__ = ["Child", "Exit", "SpawnError", "find_program", "spawn"]

_WRAPPER = """
trap : HUP INT QUIT USR1 USR2 ALRM TERM
ulimit -c 0
cd -- "$1" || exit 126
exec 3>&2 2>"$3"
[ "$4" = 0 ] || echo "$4" >/proc/self/autogroup
status=$2
shift 4
(exec "$@" 2>&3 3>&-)
code=$?
{ echo $code; times; } >"$status"
exit $code
"""
"""Outlives the user's program by a moment and writes down how it ended. Its traps are not inherited: they only keep
the shell itself alive while its program is told to end. What the shell says of its program's death goes to a file of
its own; without the subshell it would go to the program's. Where the kernel shares time among sessions (autogroup),
this new one has to be told that it steps back for others as far as the runner does."""

_SHELL = "/bin/sh"
_TIMES = re.compile(r"(\d+)m([\d.]+)s")
_DIES_SILENTLY = {signal.SIGINT, signal.SIGPIPE, signal.SIGTERM}
"""Shells say why a program died, except for these."""


class SpawnError(Exception):
    """The program cannot be started; the code is the one that shells give."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. *code* is none if nobody saw it."""

    code: int | None
    signaled: bool
    cpu_seconds: float
    max_rss: int
    """Bytes of the largest process, 0 if that is not known."""
    at: datetime
    message: str = ""
    """Why the program could not even be started."""


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
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    places = [str(folder.work), str(folder.exit), str(folder.shell)]
    nice = str(max(0, os.getpriority(os.PRIO_PROCESS, 0)))
    wrapped = [_SHELL, "-c", _WRAPPER, "shunter-run", *places, nice, *argv]
    try:
        pid = os.posix_spawn(
            _SHELL,
            wrapped,
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(folder.stdout), append, 0o600),
                (os.POSIX_SPAWN_OPEN, 2, str(folder.stderr), append, 0o600),
            ],
            setsid=True,
            setsigmask=[],
            # Python ignores these; a program that inherits that behaves oddly.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT],
        )
    except OSError as error:
        raise SpawnError(126, f"{argv[0]}: cannot be started: {error.strerror}") from error
    return Child(folder, pid, ours=True)


class Child:
    """A run's first process, ours or adopted."""

    def __init__(self, folder: RunFolder, pid: int, *, ours: bool) -> None:
        self.pid = pid
        self._folder = folder
        self._ours = ours
        self._handle = os.pidfd_open(pid)

    async def wait(self) -> Exit:
        """Wait for the end and say how it was."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._handle, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(self._handle)
        return self._bury()

    def close(self) -> None:
        """Let go of it, dead or alive."""
        with suppress(OSError):
            os.close(self._handle)

    def _bury(self) -> Exit:
        status: int | None = None
        cpu, rss = 0.0, 0
        if self._ours:
            _, status, used = os.wait4(self.pid, 0)
            cpu = used.ru_utime + used.ru_stime
            # Whoever is forked starts with the resident set of its parent: only what is larger than ours is news.
            if used.ru_maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
                rss = used.ru_maxrss * 1024
        return read_exit(self._folder, status=status, cpu=cpu, max_rss=rss)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def read_exit(folder: RunFolder, *, status: int | None = None, cpu: float = 0.0, max_rss: int = 0) -> Exit:
    """Return how a run's process ended by what the wrapper wrote, else by its own wait *status*, if we have it."""
    try:
        text = folder.exit.read_text()
        # The clock of files is coarse: who saw the end itself knows better.
        at = now() if status is not None else datetime.fromtimestamp(folder.exit.stat().st_mtime, UTC)
    except FileNotFoundError:
        text, at = "", now()
    first, newline, times = text.partition("\n")
    if newline and first.isdigit():
        spent = sum(int(minutes) * 60 + float(seconds) for minutes, seconds in _TIMES.findall(times))
        code = int(first)
        message = times[len(FAILURE) :].strip() if times.startswith(FAILURE) else ""
        return Exit(code, _was_signaled(folder, code), max(cpu, spent), max_rss, at, message)
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

"""Starts the process of a run, and waits for one: also where an earlier runner started it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from services.scheduler.pilot.process import SHELL, WRAPPER, Exit, SpawnError, bury, read_exit

from .journal import RunFolder

__all__ = ["Child", "end_of", "spawn"]

_STEP_BACK = """
[ "$1" = 0 ] || { echo "$1" >/proc/self/autogroup; } 2>/dev/null
shift
"""
"""Goes before the wrapper: where the kernel shares time among sessions (autogroup), a new one has to be told that it
steps back for others as far as the runner does."""


def spawn(folder: RunFolder, argv: Sequence[str], env: Mapping[str, str]) -> Child:
    """Start a program in a session of its own, its output going to files."""
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    places = [str(folder.work), str(folder.exit), str(folder.shell)]
    nice = str(max(0, os.getpriority(os.PRIO_PROCESS, 0)))
    wrapped = [SHELL, "-c", _STEP_BACK + WRAPPER, "shunter-run", nice, *places, *argv]
    try:
        pid = os.posix_spawn(
            SHELL,
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
        return bury(self._folder, self.pid) if self._ours else read_exit(self._folder)

    def close(self) -> None:
        """Let go of it, dead or alive."""
        with suppress(OSError):
            os.close(self._handle)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


def end_of(ended: Exit, started_at: datetime) -> datetime:
    """Return when a process ended: not before it began, by the clock of files, which is coarse."""
    return max(datetime.fromtimestamp(ended.at, UTC), started_at)

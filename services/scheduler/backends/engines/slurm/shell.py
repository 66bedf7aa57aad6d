"""Who runs Slurm's commands: a process on this machine, which knows nothing of Slurm."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress

from contracts.errors import UnavailableError

from .calls import Answer, Call

__all__ = ["LocalShell", "Shell", "path_of"]

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG")
"""What commands, and so jobs, get of our own environment; the rest of it is nobody's business."""


def path_of(command: str, folder: str | None) -> str:
    """Return where a command of Slurm's lies; one that is given as a path lies there."""
    return f"{folder}/{command}" if folder and "/" not in command else command


class Shell(ABC):
    """It runs a command to its end."""

    @abstractmethod
    async def run(self, call: Call) -> Answer:
        """Run *call*; `UnavailableError` if it could not be, or did not end in time."""

    async def close(self) -> None:  # noqa: B027 (a process on this machine leaves nothing open)
        """Let go of connections."""


class LocalShell(Shell):
    """This machine, where it is a login node of the cluster."""

    def __init__(self, *, timeout: float, env: Mapping[str, str], commands: str | None = None) -> None:
        self._timeout = timeout
        self._env = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(env)
        self._commands = commands

    async def run(self, call: Call) -> Answer:
        """Run it in an environment that holds what it needs and no more."""
        program = path_of(call.argv[0], self._commands)
        try:
            process = await asyncio.create_subprocess_exec(
                program,
                *call.argv[1:],
                env=self._env | dict(call.env),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise UnavailableError(f"{call.argv[0]} cannot be run: {error.strerror}", retry_after=60.0) from error
        try:
            async with asyncio.timeout(call.enough or self._timeout):
                out, err = await process.communicate(call.stdin.encode())
        except TimeoutError as error:
            if call.enough:
                return Answer("", "", 0)
            raise UnavailableError(f"{call.argv[0]} said nothing for {self._timeout:g} s", retry_after=10.0) from error
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
        return Answer(out.decode(errors="replace"), err.decode(errors="replace"), process.returncode or 0)

"""Slurm's commands on a login node that is reached by SSH, over one connection that is kept."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from contracts.errors import UnavailableError

from .calls import Answer, Call
from .settings import SshSettings
from .shell import Shell, path_of

if TYPE_CHECKING:
    from asyncssh import SSHClientConnection

__all__ = ["SshShell", "program_of"]

_AT_ONCE = 4
"""Commands at the same time; a server allows ten sessions on a connection unless told otherwise."""

_END = "END_OF_THE_INPUT_OF_THIS_COMMAND"


def program_of(call: Call, env: Mapping[str, str], commands: str | None) -> str:
    """Return a shell program that runs *call*: it goes in by standard input, so that no secret is in an argv."""
    variables = dict(env) | dict(call.env)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    command = f"exec {shlex.join((path_of(call.argv[0], commands), *call.argv[1:]))}"
    if not call.stdin:
        return "\n".join((*exports, f"{command} </dev/null", ""))
    return "\n".join((*exports, f"{command} <<'{_END}'", call.stdin.rstrip("\n"), _END, ""))


class SshShell(Shell):
    """A login node. Only a host whose key is known is talked to, and only with the key that the site named."""

    def __init__(
        self, settings: SshSettings, *, timeout: float, env: Mapping[str, str], commands: str | None = None
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._env = env
        self._commands = commands
        self._connection: SSHClientConnection | None = None
        self._connecting = asyncio.Lock()
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self, call: Call) -> Answer:
        """Run it in a shell over there."""
        import asyncssh

        program = program_of(call, self._env, self._commands)
        async with self._room:
            connection = await self._connected()
            try:
                done = await connection.run(
                    "exec sh", input=program, timeout=call.enough or self._timeout, errors="replace"
                )
            except (asyncssh.TimeoutError, TimeoutError) as error:
                if call.enough:
                    return Answer("", "", 0)
                said = f"{call.argv[0]} on {self._settings.host} said nothing for {self._timeout:g} s"
                raise UnavailableError(said, retry_after=10.0) from error
            except (asyncssh.Error, OSError) as error:
                self._forget(connection)
                raise self._away(error) from error
        if done.exit_status is None:
            raise self._away(ConnectionResetError(f"{call.argv[0]} was cut off"))
        return Answer(str(done.stdout or ""), str(done.stderr or ""), done.exit_status)

    async def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            await self._connection.wait_closed()
            self._connection = None

    async def _connected(self) -> SSHClientConnection:
        import asyncssh

        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                to = self._settings
                try:
                    self._connection = await asyncssh.connect(
                        to.host,
                        to.port,
                        username=to.user,
                        client_keys=[str(to.key)],
                        known_hosts=str(to.known_hosts),
                        agent_path=None,
                        config=None,
                        connect_timeout=to.connect_within,
                        keepalive_interval=15,
                    )
                except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
                    raise self._away(error) from error
            return self._connection

    def _forget(self, connection: SSHClientConnection) -> None:
        connection.close()
        if self._connection is connection:
            self._connection = None

    def _away(self, error: Exception) -> UnavailableError:
        said = str(error) or type(error).__name__
        return UnavailableError(f"{self._settings.host} does not answer by SSH: {said}", retry_after=10.0)

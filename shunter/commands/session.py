"""What all commands share: the server they talk to, and how they speak."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import httpx

    from shunter.client import Client
    from shunter.connection import Connection

__all__ = ["AsJson", "Job", "Session", "session_of"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts, and nothing else, on stdout.")]

Job = Annotated[str, typer.Argument(metavar="JOB", help="An id, the job's name if only one has it, or `last`.")]

_PATIENCE = 3.0
"""Seconds that a command at the terminal tries to reach the server."""


@dataclass(frozen=True)
class Session:
    """One call of the command line. Tests give it a transport of their own."""

    url: str | None = None
    token_file: Path | None = None
    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep
    cache: Path | None = None

    def pointed_at(self, url: str | None, token_file: Path | None) -> Session:
        """Return the session that the options of the command line ask for."""
        return replace(self, url=url or self.url, token_file=token_file or self.token_file)

    def connection(self) -> Connection:
        """Find out which server is meant, and what it is shown."""
        from shunter.connection import Connection

        return Connection.find(self.url, token_file=self.token_file)

    def client(self) -> Client:
        """Connect."""
        from shunter.client import Client

        return Client(
            connection=self.connection(),
            patience=_PATIENCE,
            transport=self.transport,
            sleep=self.sleep,
            cache=self.cache,
        )


def session_of(ctx: typer.Context) -> Session:
    """Return the session of this call."""
    session = ctx.find_object(Session)
    return session or Session()

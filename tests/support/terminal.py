"""The command line, run against a played server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from shunter.cli import app
from shunter.commands.session import Session
from tests.support.rest import URL, FakeServer

__all__ = ["Ended", "Terminal"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    raw: bytes
    """What came out, byte by byte."""

    def json(self) -> Any:
        """Return the one document on stdout."""
        return json.loads(self.out)

    def lines(self) -> list[Any]:
        """Return the documents on stdout, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Somebody's terminal."""

    server: FakeServer
    home: Path

    def run(self, *words: str, stdin: str | bytes | None = None) -> Ended:
        """Run a command."""
        session = Session(
            url=URL, transport=self.server.transport, sleep=self.server.slept.append, cache=self.home / "cache"
        )
        # No settings of whoever runs the tests.
        environ = {"XDG_CONFIG_HOME": str(self.home), "SHUNTER_URL": "", "SHUNTER_TOKEN": "", "COLUMNS": "200"}
        done = CliRunner().invoke(app, list(words), obj=session, input=stdin, env=environ)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ended(done.exit_code, done.stdout, done.stderr, done.stdout_bytes)

"""How a pilot is started on a node: the script, the file, and what both must know."""

from __future__ import annotations

import ast
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.scheduler.backends.engines.base import Launch
from services.scheduler.natives.launching import Launcher

from .archive import Archive

__all__ = ["SCRIPT", "PilotLauncher"]


def _bare(text: str) -> str:
    """Return a text in Python without what only its readers need: clusters keep it with every native job."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(re.sub(r"\s+# noqa: .*", "", line) for line in lines if line)


_BOOT = _bare((Path(__file__).parents[1] / "pilot" / "boot.py").read_text())

SCRIPT = f"#!/bin/sh\nboot='{_BOOT}\nboot(sys.argv[1])'\n" + Path(__file__).with_name("launch.sh").read_text()
"""Becomes the pilot; it holds no secret."""

UrlOf = Callable[[Archive], Awaitable[str]]
"""Returns where nodes fetch the pilot; raises `UnavailableError` while it cannot be had from anywhere."""


class PilotLauncher(Launcher):
    """Makes what a native job is started with: the same file and script for all, a token of its own for each."""

    def __init__(
        self,
        *,
        archive: Callable[[], Awaitable[Archive]],
        url_of: UrlOf,
        token_of: Callable[[str, str], str],
        nats_url_of: Callable[[str], str],
        ca: str = "",
    ) -> None:
        """*archive* makes the file, once. *token_of* takes the names of a native job and its backend."""
        self._archive = archive
        self._made: Archive | None = None
        self._url_of = url_of
        self._token_of = token_of
        self._nats_url_of = nats_url_of
        self._ca = ca

    async def launch(self, native: str, backend: str) -> Launch:
        """Return it for one native job."""
        archive = self._made = self._made or await self._archive()
        env = {
            "SHUNTER_NATS_URL": self._nats_url_of(backend),
            "SHUNTER_PILOT_NAME": native,
            "SHUNTER_PILOT_TOKEN": self._token_of(native, backend),
            "SHUNTER_PILOT_SHA256": archive.sha256,
            "SHUNTER_PILOT_URL": await self._url_of(archive),
        }
        if self._ca:
            env["SHUNTER_CA"] = self._ca
        return Launch(script=SCRIPT, env=env, file=archive.path)

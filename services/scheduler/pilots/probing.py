"""Finds out whether NATS would let pilots in, and nobody else: by coming as one whose native job is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import nats.errors
from nats.aio.client import Client

from contracts.operations import Finding, Severity
from contracts.subjects import pilot_inbox
from services.chassis.connecting import until_heard_out
from services.chassis.settings import NatsSettings

from .desk import PilotDesk

__all__ = ["PilotProbes"]

_NAME = "doctor"
"""No native job is called so."""

_FORBIDDEN = "$JS.API.INFO"
"""What no pilot may ask."""

_PATIENCE = 6.0
"""Seconds for an answer; a server asks the scheduler meanwhile."""


class PilotProbes:
    """Looks at the door that pilots come by, where there is a cluster that needs it."""

    def __init__(
        self, *, nats: NatsSettings, desk: PilotDesk, clusters: Callable[[], list[str]], issuer: Callable[[], str]
    ) -> None:
        """*clusters* returns the names of backends that run pilots, *issuer* the key that NATS must know."""
        self._nats = nats
        self._desk = desk
        self._clusters = clusters
        self._issuer = issuer

    async def pilots(self) -> list[Finding]:
        """Say that pilots are not let in, or that everybody is."""
        names = self._clusters()
        if not names:
            return []
        complaints: list[str] = []
        why = await self._come(complaints, self._desk.token(_NAME, names[0]))
        if why:
            what = "NATS lets no pilot in, so no job on a cluster is ever begun"
            return [self._finding(names, Severity.CRITICAL, what, why)]
        if not complaints:
            told = f"who came as the pilot of no native job could ask for {_FORBIDDEN}"
            what = "NATS lets everybody in, and pilots may say and read all"
            return [self._finding(names, Severity.WARNING, what, told)]
        return []

    async def _come(self, complaints: list[str], token: str) -> str:
        """Come as a pilot and try what none may; returns why that one was not let in."""

        async def complain(error: Exception) -> None:
            complaints.append(str(error))

        connection = Client()
        try:
            async with asyncio.timeout(_PATIENCE):
                await connection.connect(
                    self._nats.url.split(","),
                    user=_NAME,
                    password=token,
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    inbox_prefix=pilot_inbox(_NAME).encode(),
                    error_cb=complain,
                )
                complaints.clear()
                await connection.publish(_FORBIDDEN, b"")
                await until_heard_out(connection)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            return "; ".join(dict.fromkeys([*complaints, str(error) or "it does not answer"]))
        finally:
            with suppress(nats.errors.Error, OSError):
                await connection.close()
        return ""

    def _finding(self, names: list[str], severity: Severity, what: str, why: str) -> Finding:
        return Finding(
            code="pilots-not-asked-about",
            severity=severity,
            part="nats",
            what=what,
            evidence=[why, f"backends: {', '.join(names)}"],
            cause="the server does not ask the scheduler who pilots are: its file has no auth_callout with our key",
            remedy=f"put `auth_callout {{ issuer: {self._issuer()}, … }}` into the file of nats-server and restart it, "
            "as docs/how-to/pilots.md says",
        )

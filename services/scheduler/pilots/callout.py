"""Says to NATS who pilots are and what they may, when it asks: its `auth_callout`."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from prometheus_client import Counter

from contracts.commands import CompleteUpload
from contracts.errors import ForbiddenError, ShunterError
from contracts.pilots import NextTask
from contracts.queries import DownloadRunInputs, OpenRunUpload
from contracts.subjects import log_subject, pilot_inbox, pilot_subject, query_subject, report_subject, subject_of

from .issuer import Issuer, claims_of

__all__ = ["Callout", "Grant", "permissions"]

_QUESTIONS = "$SYS.REQ.USER.AUTH"
_TOGETHER = "scheduler"
"""Each question is answered by one of us."""
_SECOND = 1_000_000_000
_ASKING = 60.0
"""Seconds for which a pilot may ask whose native job is over; it is told so, and goes."""

_ASKED = Counter("shunter_pilot_logins_total", "What NATS asked us about, by what we said", ["answer"])

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a pilot may do: everything of these attempts; with none it may only ask what is next."""

    native: str
    attempts: tuple[tuple[str, int], ...]
    is_alive: bool


Admit = Callable[[str, str], Awaitable[Grant]]
"""Returns what may be done by who gives this name and token; raises `ForbiddenError`."""


def permissions(grant: Grant) -> dict[str, Any]:
    """Return the permissions as NATS reads them."""
    publish = [query_subject(NextTask)]
    if grant.is_alive:
        publish += [query_subject(DownloadRunInputs), query_subject(OpenRunUpload)]
        publish.append(subject_of(CompleteUpload(ticket="")))
        for workload_id, attempt in grant.attempts:
            publish += [report_subject(workload_id, attempt), log_subject(workload_id, attempt)]
    return {
        "pub": {"allow": publish},
        "sub": {"allow": [f"{pilot_inbox(grant.native)}.>", pilot_subject(grant.native)]},
        # It may answer those who ask it something.
        "resp": {"max": 1, "ttl": 10 * _SECOND},
    }


class Callout:
    """Answers NATS."""

    def __init__(self, *, issuer: Issuer, account: str, lives: float, admit: Admit) -> None:
        self._issuer = issuer
        self._account = account
        self._lives = lives
        self._admit = admit

    async def start(self, connection: Client) -> None:
        """Begin to answer; whoever comes while nobody does is not let in, and comes again."""
        await connection.subscribe(_QUESTIONS, queue=_TOGETHER, cb=self._take)

    async def _take(self, message: Msg) -> None:
        try:
            answer = await self.answer(message.data)
        except ShunterError as error:
            log.warning("pilot.not_answered", detail=error.detail)
            return
        await message.respond(answer.encode())

    async def answer(self, question: bytes) -> str:
        """Answer one question of a server."""
        asked = claims_of(question)["nats"]
        user, wish = str(asked["user_nkey"]), asked.get("connect_opts") or {}
        name = str(wish.get("user") or "")
        said: dict[str, Any]
        try:
            grant = await self._admit(name, str(wish.get("pass") or ""))
            said = {"jwt": self._user(user, grant)}
            _ASKED.labels("yes" if grant.is_alive else "over").inc()
        except ForbiddenError as error:
            log.warning("pilot.refused", name=name[:64], detail=error.detail)
            said = {"error": error.detail}
            _ASKED.labels("no").inc()
        return self._issuer.sign(
            user, str(asked["server_id"]["id"]), {**said, "type": "authorization_response", "version": 2}
        )

    def _user(self, user: str, grant: Grant) -> str:
        lives = self._lives if grant.is_alive else min(self._lives, _ASKING)
        limits = {"subs": 1000, "data": -1, "payload": -1}
        nats = {**permissions(grant), **limits, "type": "user", "version": 2}
        return self._issuer.sign(user, self._account, nats, name=grant.native, exp=int(time.time() + lives))

"""Bounds for those who ask, and an eye on those who are refused."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from starlette.requests import HTTPConnection
from starlette.types import Scope

from contracts.errors import TooManyRequestsError

from .addresses import address_of, group_of, is_here
from .guesses import Guesses
from .rates import RateLimiter, Standing
from .refusals import Refusal, Refusals
from .settings import GuardSettings

__all__ = ["CALLER", "CODE", "STANDINGS", "Guard"]

CALLER = "shunter.caller"
"""Where a request's scope keeps who asks, once that is known."""

CODE = "shunter.code"
"""Where it keeps the code of the problem that was answered."""

STANDINGS = "shunter.standings"
"""Where it keeps how the caller stands with their bounds."""

_REFUSED = {401: "unauthenticated", 403: "forbidden", 429: "too_many_requests"}


class Guard:
    """One for the process."""

    def __init__(
        self,
        settings: GuardSettings,
        refusals: Refusals,
        *,
        ticks: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._principals = RateLimiter("principal", settings.principal, ticks=ticks) if settings.principal else None
        self._addresses = RateLimiter("address", settings.address, ticks=ticks) if settings.address else None
        self.guesses = Guesses(settings.guesses, ticks=ticks, sleep=sleep)
        """For routes that take a password themselves."""
        self.refusals = refusals

    def refuse_address(self, scope: Scope) -> TooManyRequestsError | None:
        """Count a request; return what to say where too many came from its address."""
        address = address_of(scope)
        if self._addresses and self._bounds(address):
            return _judge(scope, self._addresses.hit(group_of(address)), "this address")
        return None

    def admit_principal(self, scope: Scope, subject: str) -> None:
        """Count a request of somebody who is known now; raises `TooManyRequestsError` for one too many."""
        scope[CALLER] = subject
        if self._principals and self._bounds(address_of(scope)):
            refusal = _judge(scope, self._principals.hit(subject), "you")
            if refusal:
                raise refusal

    def attempt(self, connection: HTTPConnection) -> AbstractAsyncContextManager[None]:
        """Return what goes round finding out who asks: it makes guessing slow."""
        scheme, _, rest = connection.headers.get("authorization", "").partition(" ")
        address = address_of(connection.scope)
        if scheme.lower() == "basic" and (user := _user_of(rest)):
            return self.guesses.of_password(address, user)
        if scheme and self._bounds(address):
            return self.guesses.of_token(address)
        return nullcontext()

    def note(self, scope: Scope, status: int) -> None:
        """Have it told that a request was refused, if it was."""
        if status in _REFUSED:
            route = getattr(scope.get("route"), "path", "")
            code = scope.get(CODE, _REFUSED[status])
            self.refusals.note(
                Refusal(scope.get(CALLER), address_of(scope), scope["method"][:16], route, status, str(code))
            )

    def _bounds(self, address: str) -> bool:
        return self._settings.loopback or not is_here(address)


def _judge(scope: Scope, standing: Standing, whom: str) -> TooManyRequestsError | None:
    scope.setdefault(STANDINGS, []).append(standing)
    if not standing.retry_after:
        return None
    return TooManyRequestsError(
        f"{whom} may make {standing.rate.requests} requests in {standing.rate.seconds:g} s",
        retry_after=standing.retry_after,
    )


def _user_of(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0][:256]
    except (binascii.Error, ValueError):
        return ""

"""What it costs to find out who asks, by a token of an OpenID Connect issuer (RS256)."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from bench.ground import Ground
from bench.table import Figure, Row
from services.gateway.auth.oidc.authenticator import OidcTokens
from tests.support.tokens import FakeIssuer, bearer

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    count = ground.size(5000, 200)
    issuer = FakeIssuer()
    way = issuer.way()
    groups = [f"project-{number}" for number in range(10)]
    tokens = [issuer.sign(jti=str(number), groups=groups) for number in range(count)]
    first, again = asyncio.run(_pass_through(way, tokens))
    ROW.notes.append(f"p99 {_p99(first):.3f} ms the first time, {_p99(again):.3f} ms again")
    return [
        _figure("the first time", statistics.median(first), 1.0),
        _figure("again", statistics.median(again), 0.3),
    ]


def _figure(what: str, found: float, limit: float) -> Figure:
    return Figure(what, f"{found:.4f} ms", "", found, limit, "ms", small_is_good=True)


async def _pass_through(way: OidcTokens, tokens: Sequence[str]) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each token when it is new, and when it was seen before."""
    first = [await _time(way, bearer(token)) for token in tokens]
    return first, [await _time(way, bearer(token)) for token in tokens]


async def _time(way: OidcTokens, connection: HTTPConnection) -> float:
    began = time.perf_counter()
    await way.authenticate(connection)
    return (time.perf_counter() - began) * 1000


def _p99(found: Sequence[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


ROW = Row("tokens", "a token of an issuer (RS256): who is it?", _measure)

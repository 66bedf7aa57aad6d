"""What it costs to check a Shunter token whose signatures were checked before, as each request does."""

from __future__ import annotations

import asyncio
import statistics
import time
from datetime import timedelta

from starlette.requests import HTTPConnection

from bench.ground import Ground
from bench.table import Figure, Row
from contracts.identity import TokenScopes
from contracts.model import now
from contracts.principals import Level, Principal
from services.gateway.auth.authenticator import Door
from services.gateway.auth.biscuits import Biscuits
from services.gateway.auth.roots import Secrets
from services.gateway.auth.signer import Signer
from services.gateway.identity.register import Known, Register
from shunter.narrowing import narrow

__all__ = ["ROW"]

_LIMIT = 300_000
"""Nanoseconds."""

_OWNER = Principal(subject="ada", issuer="https://idp.example", projects={"vision": Level.MEMBER})
_JOB = "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"


def _connection(token: str) -> HTTPConnection:
    headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    path = f"/v1/jobs/{_JOB}"
    return HTTPConnection(
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "path_params": {"job_id": _JOB},
            "client": ("127.0.0.1", 1),
            "headers": headers,
        }
    )


async def _time(door: Door, token: str, count: int) -> float:
    """Return the median of several rounds, in nanoseconds for one check."""
    connection = _connection(token)
    await door.identify(connection)
    rounds = []
    for _ in range(9):
        began = time.perf_counter_ns()
        for _ in range(count):
            await door.identify(connection)
        rounds.append((time.perf_counter_ns() - began) / count)
    return statistics.median(rounds)


def _measure(ground: Ground) -> list[Figure]:
    register = Register()
    # A site on which some tokens were revoked: each check looks whether this one was.
    register.take(Known(revoked={f"{number:0128x}": None for number in range(1000)}))
    signer = Signer(Secrets({1: bytes(range(32))}, ("seal",)))
    door = Door([Biscuits(signer, register)], register)
    whole = str(signer.sign(_OWNER, TokenScopes(), now() + timedelta(hours=1)).to_base64())
    scopes = TokenScopes(read_only=True, jobs=[_JOB], max_gpus=2)
    narrowed = narrow(whole, signer.published(), scopes, now() + timedelta(minutes=30))
    count = ground.size(2000, 200)
    found = []
    for what, token in (("one block", whole), ("narrowed to one job, read only", narrowed)):
        nanoseconds = asyncio.run(_time(door, token, count))
        found.append(
            Figure(what, f"{nanoseconds:,.0f} ns", "", nanoseconds, _LIMIT, "ns", small_is_good=True),
        )
    return found


ROW = Row("identity", "a Biscuit at the door, its signatures known, its checks run", _measure)

"""Clients that take their time: told so, and hung up on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.chassis.service import serve_http
from services.chassis.settings import Server
from services.gateway.app import create_app
from tests.support.gateway import TOKENS, Stand
from tests.support.servers import free_ports

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    return {"body_wait": 1.0}


async def _say(port: int | None, *pieces: str) -> bytes:
    """Say this much, then nothing more; return what comes back before the other side hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(pieces).encode())
    async with asyncio.timeout(20):
        got = await reader.read()
    writer.close()
    return got


async def test_a_body_that_does_not_come_is_waited_for_no_longer(stand: Stand) -> None:
    port = stand.client.base_url.port
    head = f"Host: localhost\r\nAuthorization: Bearer {TOKENS['ada']}\r\nContent-Length: 100000\r\n"
    job = await _say(port, "POST /v1/jobs HTTP/1.1\r\nContent-Type: application/json\r\n", head, '\r\n{"a')
    assert job.startswith(b"HTTP/1.1 408"), job
    assert b'"field":"body"' in job
    file = await _say(port, "PUT /v1/files/slow HTTP/1.1\r\n", head, "\r\nabc")
    assert file.startswith(b"HTTP/1.1 408"), file
    assert not stand.site.files


async def test_a_body_in_pieces_is_taken_as_one(stand: Stand) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"argv"', b": [", b'"true"]}'):
            yield piece
            await asyncio.sleep(0)

    headers = {"Authorization": f"Bearer {TOKENS['ada']}", "Content-Type": "application/json"}
    answer = await stand.client.post("/v1/jobs", content=pieces(), headers=headers)
    assert answer.status_code == 201, answer.text


async def test_a_head_that_does_not_end_is_waited_for_no_longer(stand: Stand) -> None:
    (port,) = free_ports(1)
    async with serve_http(create_app(stand.process), Server(port=port), head_within=1.0):
        assert (await _say(port, "GET /v1/whoami HTTP/1.1\r\nHost: loc")).startswith(b"HTTP/1.1 408")
        assert await _say(port) == b""

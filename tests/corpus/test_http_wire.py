"""What comes over the connection that is no good HTTP, or comes too slowly or without an end."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest

from tests.support.hostile import LIMIT, Target

from .entry import How, load

pytestmark = pytest.mark.usefixtures("untouched")


def _say(target: Target, raw: bytes) -> bytes:
    """Send bytes, and return what comes back until the other side hangs up or has answered."""
    raw = raw.replace(b"TOKEN", target.stack.tokens["owner"].encode())
    with socket.create_connection(("127.0.0.1", target.stack.port), timeout=LIMIT) as connection:
        # Whoever is refused early finds the connection closed while still sending.
        with suppress(ConnectionError):
            connection.sendall(raw)
        got = b""
        with suppress(ConnectionError):
            while b"\r\n\r\n" not in got and (piece := connection.recv(65_536)):
                got += piece
        return got


def test_it_is_refused_at_once(target: Target) -> None:
    for entry in load(How.WIRE):
        began = time.monotonic()
        got = _say(target, entry.value)
        assert time.monotonic() - began < LIMIT, entry.name
        # Whoever still talks when it is refused may find the connection closed before the answer.
        if got:
            assert int(got.split(b" ")[1]) in entry.status, f"{entry.name}: {got[:300]!r}"
            assert b"Traceback" not in got, entry.name
        else:
            assert len(entry.value) > 10_000, f"{entry.name}: no answer"


def test_slow_clients_keep_nobody_waiting(target: Target) -> None:
    """Fifty clients that never finish what they say, and one that must be served meanwhile."""
    token = target.stack.tokens["owner"]
    head = f"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
    body = f"{head}Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{"
    slow = [socket.create_connection(("127.0.0.1", target.stack.port), timeout=LIMIT) for _ in range(50)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall((body if number % 2 else head).encode())
        assert target.client.get("/v1/whoami").status_code == 200
    finally:
        for connection in slow:
            connection.close()

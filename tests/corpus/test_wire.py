"""What comes over the connection that is no good HTTP, or comes too slowly or without an end."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest

from tests.support.hostile import LIMIT, Target

from .entry import Entry, How, load

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


@pytest.mark.parametrize("entry", load(How.WIRE), ids=lambda entry: entry.name)
def test_it_is_refused_at_once(target: Target, entry: Entry) -> None:
    began = time.monotonic()
    got = _say(target, entry.value)
    assert time.monotonic() - began < LIMIT
    if not got:
        return  # hung up on, while still talking
    status = int(got.split(b" ")[1])
    assert status in entry.status, got[:300]
    assert b"Traceback" not in got


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

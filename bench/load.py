"""Many clients at one server, over kept connections: a loader that costs far less than what it measures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools
import uvloop

__all__ = ["Load", "get", "load", "percentile", "post", "run_load"]

Ask = Callable[[int], bytes]
"""Makes the bytes of one request from its number."""


@dataclass(slots=True)
class Load:
    """What came of it. Only answers of the 2xx kind count as work."""

    seconds: float = 0.0
    times: list[float] = field(default_factory=list)
    """Seconds of each good answer."""
    bodies: list[bytes] = field(default_factory=list)
    """Of good answers, if they were wanted."""
    bad: dict[int, int] = field(default_factory=dict)
    """Answers of other kinds, by status."""

    @property
    def rate(self) -> float:
        """Return good answers per second."""
        return len(self.times) / self.seconds if self.seconds else 0.0

    def p(self, share: float) -> float:
        """Return a percentile in milliseconds."""
        return percentile(self.times, share) * 1000


def percentile(values: list[float], share: float) -> float:
    """Return the value that *share* of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def get(path: str, token: str = "") -> bytes:
    """Return a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_bearer(token)}\r\n".encode()


def post(path: str, body: bytes, token: str = "", headers: str = "") -> bytes:
    """Return a POST of JSON; *headers* are whole lines."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{_bearer(token)}{headers}Content-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _bearer(token: str) -> str:
    return f"Authorization: Bearer {token}\r\n" if token else ""


class _Connection(asyncio.Protocol):
    """One client: one request at a time."""

    def __init__(self) -> None:
        self._done: asyncio.Future[None] | None = None
        self.status = 0
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        if self._done and not self._done.done():
            self._done.set_exception(error or ConnectionError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._done and not self._done.done():
            self._done.set_result(None)

    async def ask(self, request: bytes) -> int:
        """Send a request and wait for the whole answer."""
        self.body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        await self._done
        return self.status


async def load(url: str, ask: Ask, *, clients: int, seconds: float = 0.0, count: int = 0, keep: bool = False) -> Load:
    """Have *clients* ask for *seconds*, or *count* times in all."""
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    loop = asyncio.get_running_loop()
    found, sent = Load(), 0

    async def client() -> None:
        nonlocal sent
        _, connection = await loop.create_connection(_Connection, host, port)
        while (sent < count) if count else (time.perf_counter() < ends):
            number, sent = sent, sent + 1
            at = time.perf_counter()
            status = await connection.ask(ask(number))
            if 200 <= status < 300:
                found.times.append(time.perf_counter() - at)
                if keep:
                    found.bodies.append(connection.body)
            else:
                found.bad[status] = found.bad.get(status, 0) + 1
        connection.transport.close()

    began = time.perf_counter()
    ends = began + seconds
    await asyncio.gather(*(client() for _ in range(clients)))
    found.seconds = time.perf_counter() - began
    return found


def run_load(url: str, ask: Ask, *, clients: int, seconds: float = 0.0, count: int = 0, keep: bool = False) -> Load:
    """Do the same from code that is not asynchronous."""
    return uvloop.run(load(url, ask, clients=clients, seconds=seconds, count=count, keep=keep))

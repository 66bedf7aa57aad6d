"""Uvicorn's protocol with bounds that it does not have: how large the head of a request is, and how long it takes."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .peers import Extensions, extensions_of

__all__ = ["GuardedProtocol"]

_MOST_HEAD = 128 * 1024
"""Bytes of a request's first line and headers, or of its trailers; more would fill our memory."""

_REFUSAL = (
    b'{"type":"urn:shunter:problem:invalid","title":"%s","status":%d,"detail":"headers: %s","code":"invalid",'
    b'"errors":[{"field":"headers","message":"%s"}]}'
)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. What is within the bounds is left to uvicorn, at no cost for a head that comes in one piece."""

    def __init__(self, *args: Any, head_within: float, **more: Any) -> None:
        """*head_within*: seconds within which a head must have come."""
        super().__init__(*args, **more)
        self._head_within = head_within
        self._in_head = True
        self._heads = 0
        self._head = 0
        self._fields = 0
        self._late: asyncio.TimerHandle | None = None
        self._extensions: Extensions = {}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._extensions = extensions_of(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and look how much of a head is still unfinished."""
        heads, was_in_head = self._heads, self._in_head
        super().data_received(data)
        if not was_in_head or self._heads != heads or self.transport.is_closing():
            return
        self._head += len(data)
        if self._head > _MOST_HEAD:
            self._refuse(431, b"Request Header Fields Too Large", b"must not be larger than 128 KiB")
        elif self._late is None:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """Begin the scope of a request, with what the connection itself proves."""
        super().on_message_begin()
        if self._extensions:
            self.scope["extensions"] = self._extensions

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is passed over, for uvicorn would have it change the head of a request at work."""
        self._fields += len(name) + len(value)
        if self._fields > _MOST_HEAD:
            raise ValueError("too many headers")
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._in_head = False
        self._heads += 1
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request's body: what comes next is another head."""
        self._in_head = True
        self._head = self._fields = 0
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._late = self.loop.call_later(self._head_within, self._time_out)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _time_out(self) -> None:
        self._late = None
        if self._in_head and self._head == 0:
            self.transport.close()  # it never said anything
        elif self._in_head:
            self._refuse(408, b"Request Timeout", b"did not come in time")

    def _refuse(self, status: int, title: bytes, message: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            body = _REFUSAL % (title, status, message, message)
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
            self.transport.write(head % (status, title, len(body)) + b"connection: close\r\n\r\n" + body)
        self.transport.close()

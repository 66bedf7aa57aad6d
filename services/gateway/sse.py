"""Server-sent events: their bytes, and the response that sends them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from sse_starlette import EventSourceResponse

from contracts.errors import ShunterError

__all__ = ["PING_EVERY", "sse_event", "sse_response"]

PING_EVERY = 15
"""Seconds after which a silent stream says that it lives."""


log = structlog.get_logger(__name__)


def sse_event(kind: str, data: bytes, *, place: str) -> bytes:
    """Return one event; *data* is JSON, which has no line breaks."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (place.encode(), kind.encode(), data)


def sse_response(events: AsyncGenerator[bytes, None]) -> EventSourceResponse:
    """Send events as they come."""
    return EventSourceResponse(_quietly(events), ping=PING_EVERY, sep="\n")


async def _quietly(events: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """End where something is away: the answer has begun, and the listener comes back with its last id."""
    async with aclosing(events):
        try:
            async for event in events:
                yield event
        except ShunterError as error:
            log.warning("stream.interrupted", code=error.code, detail=error.detail)

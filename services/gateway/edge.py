"""What happens to every request, whatever it is: trace, limits, security headers, figures, and the last net."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import MutableMapping
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import InternalError, TooLargeError

from .api.problems import problem_response
from .callers import TRACE
from .closing import Closing

__all__ = ["Edge"]

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)

_UNLESS_SET = (
    (b"cache-control", b"private, no-cache"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

_REQUESTS = Counter("shunter_http_requests", "Requests", ["method", "route", "status"])
_SECONDS = Histogram(
    "shunter_http_seconds",
    "Time until the answer began",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
_UNREAD = 64 * 1024
"""Bytes of a refused body that are worth reading to keep the connection."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})

log = structlog.get_logger(__name__)


class Edge:
    """The outermost layer of the app."""

    def __init__(self, app: ASGIApp, *, max_body: int, closing: Closing | None = None) -> None:
        self._app = app
        self._max_body = max_body
        self._closing = closing or Closing()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = scope[TRACE] = _trace_of(scope)
        body = _Body(scope, receive, None if _is_file(scope) else self._max_body)
        answer = _Answer(send, trace, body, self._closing)
        try:
            await self._admit(scope, body, answer)
        except ClientDisconnect:
            log.info("request.abandoned", path=scope["path"], trace=trace[3:35])
        except Exception:
            log.exception("request.failed", method=scope["method"], path=scope["path"], trace=trace[3:35])
            if answer.status:
                raise
            error = InternalError("something went wrong here; the logs say what")
            await problem_response(error, scope)(scope, receive, answer.send)
        finally:
            _count(scope, answer)

    async def _admit(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        if body.is_too_large:
            await problem_response(TooLargeError(body.refusal), scope)(scope, body.receive, answer.send)
            return
        await self._app(scope, body.receive, answer.send)


class _Body:
    """Counts the body of a request as it is read."""

    def __init__(self, scope: Scope, receive: Receive, limit: int | None) -> None:
        self._receive = receive
        self._limit = limit
        self._taken = 0
        self._length = _content_length(scope)
        self._ended = self._length == 0
        self.refusal = f"the body is larger than {limit} bytes"

    @property
    def is_too_large(self) -> bool:
        """Say whether it can be refused unread."""
        return self._limit is not None and (self._length or 0) > self._limit

    @property
    def is_left_over(self) -> bool:
        """Say whether so much is unread that the rest is not worth waiting for."""
        left = _UNREAD + 1 if self._length is None else self._length - self._taken
        return not self._ended and left > _UNREAD

    async def receive(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._limit is not None and self._taken > self._limit:
            # FastAPI lets this one kind of error through while it reads a body.
            raise HTTPException(413, self.refusal)
        return message


class _Answer:
    """Adds our headers to an answer, and remembers how it began."""

    def __init__(self, send: Send, trace: str, body: _Body, closing: Closing) -> None:
        self._send = send
        self._body = body
        self._closing = closing
        self._own = [*_ALWAYS, (b"traceparent", trace.encode()), (b"x-request-id", trace[3:35].encode())]
        self._started = time.perf_counter()
        self.status = 0
        self.seconds = 0.0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.seconds = time.perf_counter() - self._started
            headers = message["headers"]
            present = {name for name, _ in headers}
            message["headers"] = [*headers, *self._own, *(item for item in _UNLESS_SET if item[0] not in present)]
            if self._closing.is_set or (self.status >= 400 and self._body.is_left_over):
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


def _header(scope: MutableMapping[str, Any], wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _content_length(scope: Scope) -> int | None:
    """Return the length of the body, None where only its end will tell."""
    if _header(scope, b"transfer-encoding"):
        return None
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0


def _is_file(scope: Scope) -> bool:
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/files/"))


def _trace_of(scope: Scope) -> str:
    """Go on in the caller's trace, or begin one; the span is ours either way."""
    found = _TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    trace, flags = (found[1].decode(), found[2].decode()) if found else (secrets.token_hex(16), "01")
    return f"00-{trace}-{secrets.token_hex(8)}-{flags}"


def _count(scope: Scope, answer: _Answer) -> None:
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, seconds = _figures(method, route, answer.status)
    requests.inc()
    seconds.observe(answer.seconds)


@cache
def _figures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the figures of one kind of answer; there are a few hundred kinds."""
    return _REQUESTS.labels(method, route, status), _SECONDS.labels(method, route)

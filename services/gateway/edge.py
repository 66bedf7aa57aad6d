"""What happens to every request, whatever it is: trace, limits, security headers, figures, and the last net."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import MutableMapping, Sequence
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import InternalError, InvalidError, TooLargeError

from .api.problems import problem_response
from .bodies import is_file
from .callers import TRACE
from .closing import Closing
from .guard.guard import STANDINGS, Guard
from .guard.rates import Standing

__all__ = ["Edge"]

_CHANCE = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311 (names, not secrets)
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
)

_BY_TLS_ONLY = (b"strict-transport-security", b"max-age=31536000")

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

_MOST_URL = 16 * 1024
_MOST_HEADERS = 32 * 1024

_SMALL = (
    *(("/v1/downloads", 64 * 1024), ("/v1/uploads", 2 * 2**20)),
    *((f"/v1/{noun}", 64 * 1024) for noun in ("login", "tokens", "keys", "users", "projects", "mail")),
)
"""Paths whose bodies are never as large as a job may be: a path, ten thousand parts of an upload, or a few words."""

_ONCE = {
    name.lower().encode(): name
    for name in (
        *("Authorization", "Content-Length", "Content-Type", "Content-Encoding", "Host", "Idempotency-Key"),
        *("Last-Event-ID", "Range", "X-Content-SHA256"),
    )
}
"""Headers of which one reader would take the first and another the last."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})

log = structlog.get_logger(__name__)


class Edge:
    """The outermost layer of the app."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int,
        body_wait: float,
        closing: Closing | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._body_wait = body_wait
        self._closing = closing or Closing()
        self._guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace = scope[TRACE] = _trace_of(scope)
        body = _Body(scope, receive, limit=_limit_of(scope, self._max_body), wait=self._body_wait)
        answer = _Answer(send, scope, trace, body, self._closing)
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
            if self._guard:
                self._guard.note(scope, answer.status)

    async def _admit(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        if self._guard and (refusal := self._guard.refuse_address(scope)):
            await problem_response(refusal, scope)(scope, body.receive, answer.send)
            return
        if found := _head_refusal(scope):
            status, error = found
            await problem_response(error, scope, status=status)(scope, body.receive, answer.send)
            return
        if body.is_too_large:
            await problem_response(TooLargeError(body.refusal), scope)(scope, body.receive, answer.send)
            return
        await self._app(scope, body.receive, answer.send)


class _Body:
    """Counts the body of a request as it is read."""

    def __init__(self, scope: Scope, receive: Receive, *, limit: int | None, wait: float) -> None:
        self._receive = receive
        self._limit = limit
        self._wait = wait
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
        message = await self._next()
        self._taken += len(message.get("body", b""))
        self._ended = not message.get("more_body", False)
        if self._limit is not None and self._taken > self._limit:
            # FastAPI lets this one kind of error through while it reads a body.
            raise HTTPException(413, self.refusal)
        return message

    async def _next(self) -> Message:
        if self._ended:  # what comes now is the client's going away, whenever that is
            return await self._receive()
        try:
            async with asyncio.timeout(self._wait):
                return await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"nothing more of the body came for {self._wait:g} s") from None


class _Answer:
    """Adds our headers to an answer, and remembers how it began."""

    def __init__(self, send: Send, scope: Scope, trace: str, body: _Body, closing: Closing) -> None:
        self._send = send
        self._scope = scope
        self._body = body
        self._closing = closing
        self._own = [*_ALWAYS, (b"traceparent", trace.encode()), (b"x-request-id", trace[3:35].encode())]
        if scope.get("scheme") == "https":
            self._own.append(_BY_TLS_ONLY)
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
            if standings := self._scope.get(STANDINGS):
                message["headers"] += _rates(standings)
            if self._closing.is_set or (self.status >= 400 and self._body.is_left_over):
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


def _rates(standings: Sequence[Standing]) -> list[tuple[bytes, bytes]]:
    return [
        (b"ratelimit-policy", b", ".join(one.policy for one in standings)),
        (b"ratelimit", b", ".join(one.state for one in standings)),
    ]


def _header(scope: MutableMapping[str, Any], wanted: bytes) -> bytes:
    return next((value for name, value in scope["headers"] if name == wanted), b"")


def _content_length(scope: Scope) -> int | None:
    """Return the length of the body, None where only its end will tell."""
    if _header(scope, b"transfer-encoding"):
        return None
    text = _header(scope, b"content-length")
    return int(text) if text.isdigit() else 0


def _limit_of(scope: Scope, most: int) -> int | None:
    """Return how many bytes a body may have; a file is held to its Content-Length by its route."""
    if is_file(scope):
        return None
    return min(most, next((size for start, size in _SMALL if scope["path"].startswith(start)), most))


def _head_refusal(scope: Scope) -> tuple[int, InvalidError] | None:
    """Refuse a head that is too large, or says the same thing twice in two ways."""
    if len(scope["raw_path"]) + len(scope["query_string"]) > _MOST_URL:
        return 414, InvalidError.of("url", f"must not be longer than {_MOST_URL} bytes")
    size, once = 0, set()
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in _ONCE:
            if name in once:
                return 400, InvalidError.of(_ONCE[name], "must be given once")
            once.add(name)
    if size > _MOST_HEADERS:
        return 431, InvalidError.of("headers", f"must not be larger than {_MOST_HEADERS} bytes together")
    return None


def _trace_of(scope: Scope) -> str:
    """Go on in the caller's trace, or begin one; the span is ours either way."""
    found = _TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    fresh = f"{_CHANCE.getrandbits(192):048x}"
    trace, flags = (found[1].decode(), found[2].decode()) if found else (fresh[:32], "01")
    return f"00-{trace}-{fresh[32:]}-{flags}"


def _count(scope: Scope, answer: _Answer) -> None:
    found = getattr(scope.get("route"), "path", None)
    route = "unknown" if found is None else scope.get("root_path", "") + found
    method = scope["method"] if scope["method"] in _METHODS else "other"
    requests, seconds = _figures(method, route, answer.status)
    requests.inc()
    seconds.observe(answer.seconds)


@cache
def _figures(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the figures of one kind of answer; there are a few hundred kinds."""
    return _REQUESTS.labels(method, route, status), _SECONDS.labels(method, route)

"""JSON bodies of one meaning, whatever the other system let through."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import InvalidError
from services.gateway.bodies import check_json

from .details import say_invalid

__all__ = ["PlainJson"]

_READS = frozenset({"POST", "PUT"})


class PlainJson:
    """Makes JSON bodies plain before anybody reads them, or says what is wrong with them."""

    def __init__(self, app: ASGIApp, *, mend: Callable[[str], str] | None = None) -> None:
        """*mend*: makes JSON of what is none, as far as the other system took it."""
        self._app = app
        self._mend = mend

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _READS or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        try:
            plain = _plain(body, self._mend)
        except InvalidError as error:
            found = {"type": "json_invalid", "loc": ["body"], "msg": f"JSON decode error: {error.detail}"}
            await say_invalid([found])(scope, receive, send)
            return
        await self._app(scope, _again(plain, receive), send)


def _is_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    kind = kinds[0].split(b";")[0].strip().lower() if kinds else b""
    return bool(kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json")))


async def _read(receive: Receive) -> bytes | None:
    pieces: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


def _plain(body: bytes, mend: Callable[[str], str] | None) -> bytes:
    """Return a body of one meaning."""
    if not body:
        return body
    try:
        orjson.loads(body)
        plain = body
    except orjson.JSONDecodeError:
        text = body.decode("utf-8", "surrogateescape")
        plain = (mend(text) if mend else text).encode("utf-8", "surrogateescape")
    check_json(plain)
    return plain


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body as one message, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give

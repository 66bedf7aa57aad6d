"""JSON as people type it into a terminal: a comma before a closing bracket is passed over; nothing else is."""

from __future__ import annotations

import re

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import InvalidError
from services.gateway.bodies import check_json

from .words import say_invalid

__all__ = ["LenientJson", "without_trailing_commas"]

_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|,(?=\s*[}\]])', re.DOTALL)
"""Whole strings, so that what is in them is passed over, and commas before a closing bracket."""

_READS = frozenset({"POST", "PUT"})


def without_trailing_commas(text: str) -> str:
    """Return the text without the commas that JSON does not allow there."""
    return _TOKENS.sub(lambda found: "" if found[0] == "," else found[0], text)


class LenientJson:
    """Makes JSON bodies plain before anybody reads them, or says what is wrong with them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _READS or not _is_json(scope):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            return
        try:
            plain = _plain(body)
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


def _plain(body: bytes) -> bytes:
    """Return a body of one meaning."""
    if not body:
        return body
    try:
        orjson.loads(body)
        plain = body
    except orjson.JSONDecodeError:
        plain = without_trailing_commas(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    check_json(plain)
    return plain


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body as one message, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give

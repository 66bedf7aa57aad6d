"""What a body must be before anybody reads it: JSON of one meaning, not too deep, and come within a moment."""

from __future__ import annotations

import asyncio
import json
import math
import re
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import FieldError, InvalidError, TooLargeError

from .api.problems import problem_response
from .scopes import BRINGS_FILE

__all__ = ["FORM_TYPE", "MOST_NESTED", "YAML_TYPES", "PlainBodies", "check_json", "is_file"]

MOST_NESTED = 64
"""Levels of arrays and objects inside each other; no request of ours needs ten."""

YAML_TYPES = frozenset({b"application/yaml", b"application/x-yaml", b"text/yaml"})
"""What YAML is called."""

_TAKES_YAML = "/v1/batches"

FORM_TYPE = b"application/x-www-form-urlencoded"
"""What a form is called."""

_MULTIPART = b"multipart/form-data"

_TAKES_FORM = {"/v1/login": {FORM_TYPE}, "/v1/mail/opt-out": {FORM_TYPE, _MULTIPART}}
"""Paths, and the forms they take. Mail programs send the second one either way (RFC 8058)."""

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
"""Brackets, and whole strings, so that the brackets in them are passed over."""

_READS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SHOWN = 64
"""Characters of a name that are repeated to whoever sent it."""


class PlainBodies:
    """Reads the body of a request whole and checks its form; the bytes of files pass by unread."""

    def __init__(self, app: ASGIApp, *, wait: float) -> None:
        """*wait*: seconds within which a body must have come."""
        self._app = app
        self._wait = wait

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _READS or is_file(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
        except HTTPException as error:
            if error.status_code == HTTPStatus.REQUEST_TIMEOUT:
                await self._refuse_late(scope, receive, send)
            else:  # more came than was announced
                await problem_response(TooLargeError(error.detail), scope)(scope, receive, send)
            return
        except TimeoutError:
            await self._refuse_late(scope, receive, send)
            return
        if body and (found := _refusal(scope, body)):
            status, refused = found
            await problem_response(refused, scope, status=status)(scope, receive, send)
            return
        await self._app(scope, _again(body, receive), send)

    async def _read(self, receive: Receive) -> bytes:
        message = await self._next(receive)
        if not message.get("more_body", False):  # most come in one piece
            return bytes(message.get("body", b""))
        pieces = [message.get("body", b"")]
        async with asyncio.timeout(self._wait):
            while message.get("more_body", False):
                message = await self._next(receive)
                pieces.append(message.get("body", b""))
        return b"".join(pieces)

    async def _refuse_late(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = InvalidError.of("body", f"did not come within {self._wait:g} s")
        await problem_response(refusal, scope, status=408)(scope, receive, send)

    @staticmethod
    async def _next(receive: Receive) -> Message:
        message = await receive()  # the edge waits for the next bytes as long as we would
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message


def is_file(scope: Scope) -> bool:
    """Say whether a request brings the bytes of a file."""
    if BRINGS_FILE in scope:
        return bool(scope[BRINGS_FILE])
    return bool(scope["method"] == "PUT" and scope["path"].startswith("/v1/files/"))


def _again(body: bytes, receive: Receive) -> Receive:
    """Give the body as one message, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return left.pop() if left else await receive()

    return give


def _refusal(scope: Scope, body: bytes) -> tuple[int, InvalidError] | None:
    encoding, kind = b"", b""
    for name, value in scope["headers"]:
        if name == b"content-encoding":
            encoding = value.strip().lower()
        elif name == b"content-type":
            kind = value.split(b";")[0].strip().lower()
    if encoding not in {b"", b"identity"}:
        return 415, InvalidError.of("Content-Encoding", "bodies are taken as they are, not compressed")
    if kind in YAML_TYPES and scope["method"] == "POST" and scope["path"] == _TAKES_YAML:
        return None  # its route reads it, within bounds of its own
    if kind in _TAKES_FORM.get(scope["path"], ()):
        return None
    if kind != b"application/json" and not (kind.startswith(b"application/") and kind.endswith(b"+json")):
        return 415, InvalidError.of("Content-Type", "must be application/json")
    try:
        check_json(body)
    except InvalidError as error:
        return 400, error
    return None


def check_json(raw: bytes) -> None:
    """Refuse what is no JSON, and JSON that two readers would take for different things."""
    if raw.startswith(b"\xef\xbb\xbf"):
        raise InvalidError.of("body", "must not begin with a byte order mark")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidError.of("body", f"is not UTF-8 from byte {error.start} on") from None
    if raw.count(b"[") + raw.count(b"{") > MOST_NESTED and _is_deep(raw):
        raise InvalidError.of("body", f"is nested deeper than {MOST_NESTED} levels")
    try:
        json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_number)
    except json.JSONDecodeError as error:
        raise InvalidError(
            f"body: is not JSON: {error.msg} at character {error.pos}",
            errors=[FieldError(field="body", message=f"is not JSON: {error.msg} at character {error.pos}")],
        ) from None
    except (ValueError, RecursionError):  # Python reads no integer of thousands of digits
        raise InvalidError.of("body", "holds a number that is too long") from None


def _is_deep(raw: bytes) -> bool:
    """Say whether arrays and objects stand too deep in each other, without building any."""
    depth = 0
    for found in _BRACKETS.finditer(raw):
        bracket = found[0]
        if bracket in {b"[", b"{"}:
            depth += 1
            if depth > MOST_NESTED:
                return True
        elif bracket in {b"]", b"}"}:
            depth -= 1
    return False


def _object(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidError.of(_shown(twice), "stands twice in one object")
    for name in names:
        if not name.isascii() and any("\ud800" <= character <= "\udfff" for character in name):
            raise InvalidError.of(_shown(name), "holds half of a surrogate pair")


def _no_constant(word: str) -> None:
    raise InvalidError.of("body", f"{word} is not JSON; numbers must be finite")


def _number(text: str) -> None:
    if not math.isfinite(float(text)):
        raise InvalidError.of("body", f"the number {_shown(text)} is too large")


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()[:_SHOWN]

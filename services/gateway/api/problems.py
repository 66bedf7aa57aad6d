"""The one translation of our errors to HTTP: RFC 9457 problem documents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from contracts.errors import (
    ErrorCode,
    FieldError,
    ForbiddenError,
    InvalidError,
    ShunterError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnavailableError,
)
from contracts.model import Model
from services.gateway.callers import TRACE
from services.gateway.guard.guard import CODE
from services.gateway.scopes import VOICE

__all__ = [
    "PROBLEM_JSON",
    "ProblemDocument",
    "add_problem_handlers",
    "error_headers",
    "problem_response",
    "problems",
    "status_of",
]

PROBLEM_JSON = "application/problem+json"

_STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID: 422,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.MISMATCH: 422,
    ErrorCode.OVER_QUOTA: 429,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.TOO_MANY: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 500,
}

_CODE: dict[int, ErrorCode] = {
    401: ErrorCode.UNAUTHENTICATED,
    403: ErrorCode.FORBIDDEN,
    404: ErrorCode.NOT_FOUND,
    409: ErrorCode.CONFLICT,
    412: ErrorCode.CONFLICT,
    413: ErrorCode.TOO_LARGE,
    429: ErrorCode.TOO_MANY,
    503: ErrorCode.UNAVAILABLE,
}

_MALFORMED = frozenset({"Idempotency-Key", "If-Match", "Last-Event-ID", "Prefer", "X-Content-SHA256", "cursor"})
"""What is wrong in these is the form of the request (400), not its content (422)."""

_SHOWN = 64
"""Characters of an unknown field's name that are repeated."""

_TITLES: dict[ErrorCode, str] = {
    ErrorCode.INVALID: "The request is not valid",
    ErrorCode.UNAUTHENTICATED: "Nobody known asks",
    ErrorCode.FORBIDDEN: "This is not allowed",
    ErrorCode.NOT_FOUND: "There is no such thing",
    ErrorCode.CONFLICT: "It comes at the wrong time",
    ErrorCode.MISMATCH: "The idempotency key was used for another request",
    ErrorCode.OVER_QUOTA: "It would exceed the quota",
    ErrorCode.TOO_LARGE: "The body is too large",
    ErrorCode.TOO_MANY: "Too many requests",
    ErrorCode.UNAVAILABLE: "Not available now",
    ErrorCode.INTERNAL: "Something went wrong here",
}


class ProblemDocument(Model):
    """What went wrong, for people (`detail`) and for programs (`code`, `errors`)."""

    type: str = Field(examples=["urn:shunter:problem:not_found"])
    title: str
    status: int
    detail: str
    instance: str
    """The path that was asked for."""
    code: ErrorCode
    errors: list[FieldError] = []
    """Each field that is wrong."""
    trace_id: str = ""
    """Names this request in the logs."""


def problem_response(error: ShunterError, scope: Scope, *, status: int | None = None) -> Response:
    """Say an error; in other words where whoever serves the request has some."""
    if (voice := scope.get(VOICE)) is not None:
        said: Response = voice(error, scope, status)
        return said
    headers = error_headers(error)
    return _respond(status or status_of(error), error.code, error.detail, scope, errors=error.errors, headers=headers)


def _respond(
    status: int,
    code: ErrorCode,
    detail: str,
    scope: Scope,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    scope[CODE] = code
    document = ProblemDocument(
        type=f"urn:shunter:problem:{code}",
        title=_TITLES[code] if status == _STATUS[code] else HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=scope["path"],
        code=code,
        errors=list(errors),
        trace_id=scope.get(TRACE, "")[3:35],
    )
    return Response(document.model_dump_json(), status_code=status, headers=headers, media_type=PROBLEM_JSON)


def status_of(error: ShunterError) -> int:
    """Return the status of an answer that says this error."""
    malformed = error.code is ErrorCode.INVALID and error.errors
    if malformed and all(item.field in _MALFORMED for item in error.errors):
        return 400
    return _STATUS[error.code]


def error_headers(error: ShunterError) -> dict[str, str]:
    """Return the headers that go with it."""
    if error.code is ErrorCode.UNAUTHENTICATED:
        return {"WWW-Authenticate": 'Bearer realm="shunter"'}
    if error.code is ErrorCode.UNAVAILABLE:
        return {"Retry-After": str(max(1, round(error.retry_after or 2.0)))}
    if error.code is ErrorCode.TOO_MANY:
        return {"Retry-After": str(max(1, math.ceil(error.retry_after or 1.0)))}
    return {}


def add_problem_handlers(app: FastAPI) -> None:
    """Have every error of every route answered by a problem document."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ShunterError)
        return problem_response(error, request.scope)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        broken = any(found["type"] == "json_invalid" for found in error.errors())
        return problem_response(_invalid(error), request.scope, status=400 if broken else 422)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = _CODE.get(error.status_code, ErrorCode.INVALID if error.status_code < 500 else ErrorCode.INTERNAL)
        return _respond(error.status_code, code, error.detail, request.scope, headers=error.headers)

    app.add_exception_handler(ShunterError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


def _invalid(error: RequestValidationError) -> InvalidError:
    """Name each field that is wrong, without repeating what was sent."""
    errors = [FieldError(field=_place(found["loc"]), message=found["msg"]) for found in error.errors()[:100]]
    return InvalidError("; ".join(f"{item.field}: {item.message}" for item in errors[:5]), errors=errors)


def _place(location: tuple[int | str, ...]) -> str:
    inner = location[1:] if len(location) > 1 and location[0] in {"body", "query", "path", "header"} else location
    # What was sent becomes part of the name of an unknown field: as much of it as shows which one is meant.
    return ".".join(str(part)[:_SHOWN].encode("utf-8", "backslashreplace").decode() for part in inner)


def problems(*kinds: type[ShunterError]) -> dict[int | str, dict[str, Any]]:
    """Declare for OpenAPI how a route may refuse; what every route may answer is always in it."""
    always: set[type[ShunterError]] = {
        *(InvalidError, UnauthenticatedError, ForbiddenError, UnavailableError, TooManyRequestsError)
    }
    found: dict[int | str, dict[str, Any]] = {}
    for kind in sorted(always | set(kinds), key=lambda kind: (_STATUS[kind.code], kind in kinds)):
        example = {
            "type": f"urn:shunter:problem:{kind.code}",
            "title": _TITLES[kind.code],
            "status": _STATUS[kind.code],
            "detail": (kind.__doc__ or "").split("\n")[0],
            "instance": "/v1/…",
            "code": kind.code.value,
            "errors": [],
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        }
        found[_STATUS[kind.code]] = {
            "description": _TITLES[kind.code],
            "content": {PROBLEM_JSON: {"schema": _SCHEMA, "example": example}},
        }
    found[400] = {**found[422], "description": "The form of the request is wrong"}
    return found


_SCHEMA = {"$ref": "#/components/schemas/ProblemDocument"}

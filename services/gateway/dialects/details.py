"""Errors as the web framework of many other systems says them: `{"detail": …}`."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from contracts.errors import ErrorCode, ShunterError
from services.gateway.api.problems import error_headers, status_of

__all__ = ["HTTPValidationError", "answers", "json_body", "say_error", "say_http", "say_invalid", "told"]

_SHOWN = 64
"""Characters of a place or a text that are repeated to whoever sent it."""

_MOST = 50

_REFUSED_BY_US = 400
"""What is refused here has passed the model: its `detail` is a text, which 422 never has."""


class _ValidationError(BaseModel):
    model_config = ConfigDict(title="ValidationError")

    type: str
    loc: list[str | int]
    msg: str


class HTTPValidationError(BaseModel):
    """Each field that is wrong."""

    detail: list[_ValidationError]


def json_body(value: object, *, status: int = 200) -> Response:
    """Answer with JSON; `null` and a bare text are JSON too."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def say_error(error: ShunterError, _scope: Scope, status: int | None) -> Response:
    """Say an error of ours."""
    found = status or status_of(error)
    if found == HTTPStatus.UNPROCESSABLE_ENTITY and error.code in {ErrorCode.INVALID, ErrorCode.MISMATCH}:
        found = _REFUSED_BY_US
    answer = json_body({"detail": error.detail}, status=found)
    answer.headers.update(error_headers(error))
    return answer


def say_http(error: HTTPException) -> Response:
    """Say an error of the web framework."""
    answer = json_body({"detail": error.detail}, status=error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def say_invalid(errors: Sequence[dict[str, Any]]) -> Response:
    """Name each field that is wrong, and what stood there if it is short."""
    return json_body({"detail": [_entry(error) for error in errors[:_MOST]]}, status=422)


def _entry(error: dict[str, Any]) -> dict[str, Any]:
    found = {"type": error["type"], "loc": [_shown(part) for part in error["loc"]], "msg": _shown(error["msg"], 500)}
    given = error.get("input")
    if given is None or isinstance(given, bool | int | float | str):
        found["input"] = _shown(given)
    return found


def _shown(value: object, most: int = _SHOWN) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        value = str(value)
    if isinstance(value, str):
        return value[:most].encode("utf-8", "backslashreplace").decode()
    return value


def told(text: str) -> dict[str, Any]:
    """Declare an error for OpenAPI."""
    return {"description": text, "content": {"application/json": {"schema": _DETAIL}}}


_DETAIL = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}

_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: told("Nobody known asks."),
    403: told("This is not allowed."),
    404: told("There is no such thing, or not for whoever asks."),
    408: told("The body did not come."),
    409: told("It comes at the wrong time."),
    413: told("The body is too large."),
    414: told("The address is too long."),
    415: told("The body is compressed."),
    422: {"description": "A field is wrong.", "model": HTTPValidationError},
    429: told("It would be too much."),
    431: told("The headers are too large."),
    503: told("Not available now; `Retry-After` says when to come again."),
}


def answers(own: dict[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """Return what any route may answer besides what was asked for, with what a dialect says of its own."""
    return dict(sorted({**_ANSWERS, **own}.items()))

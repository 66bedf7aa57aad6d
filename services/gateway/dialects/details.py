"""Errors as the web framework of many other systems says them: `{"detail": …}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.responses import Response

__all__ = ["HTTPValidationError", "json_body", "say_http", "say_invalid", "told"]

_SHOWN = 64
"""Characters of a place or a text that are repeated to whoever sent it."""

_MOST = 50


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

"""Errors as psik says them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.responses import Response
from starlette.types import Scope

from contracts.errors import ErrorCode, ShunterError
from services.gateway.api.problems import error_headers, status_of
from services.gateway.dialects.details import HTTPValidationError, json_body, told

__all__ = ["RESPONSES", "say"]

_REFUSED_BY_US = 400
"""What is refused here has passed the model: its `detail` is a text, which 422 never has."""


def say(error: ShunterError, _scope: Scope, status: int | None) -> Response:
    """Say an error of ours."""
    found = status or status_of(error)
    if found == HTTPStatus.UNPROCESSABLE_ENTITY and error.code in {ErrorCode.INVALID, ErrorCode.MISMATCH}:
        found = _REFUSED_BY_US
    answer = json_body({"detail": error.detail}, status=found)
    answer.headers.update(error_headers(error))
    return answer


RESPONSES: dict[int | str, dict[str, Any]] = {
    400: told("The identifier has not the form of one, or the site cannot do what is asked."),
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
"""What any route may answer besides what was asked for."""

"""Errors as decode says them."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Scope

from contracts.errors import ErrorCode, ShunterError, UnauthenticatedError
from services.gateway.dialects.details import answers, say_error, told

__all__ = ["RESPONSES", "say"]

_NOBODY = "Not authenticated"
"""Said to everybody whose credentials are not good: what is wrong with them helps only who guesses."""


def say(error: ShunterError, scope: Scope, status: int | None) -> Response:
    """Say an error of ours."""
    unknown = error.code is ErrorCode.UNAUTHENTICATED
    return say_error(UnauthenticatedError(_NOBODY) if unknown else error, scope, status)


RESPONSES = answers({400: told("What is asked cannot be."), 405: told("This cannot be done to it.")})
"""What any route may answer besides what was asked for."""

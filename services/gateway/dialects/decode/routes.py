"""How decode's routes are declared: each with what it may answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from .words import RESPONSES

__all__ = ["declare"]


def declare(
    router: APIRouter,
    method: str,
    path: str,
    function: Callable[..., Any],
    *,
    answer: Any = None,
    status: int = 200,
    responses: dict[int | str, dict[str, Any]] | None = None,
    **more: Any,
) -> None:
    """Add a route."""
    if status == 204:
        more["response_class"] = Response
    router.add_api_route(
        path,
        function,
        methods=[method],
        response_model=answer,
        status_code=status,
        responses={**RESPONSES, **(responses or {})},
        **more,
    )

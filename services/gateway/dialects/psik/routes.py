"""How psik's routes are declared: each with what it may answer, most with a twin that ends in a slash."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from .words import RESPONSES

__all__ = ["declare"]


def declare(
    router: APIRouter,
    method: str,
    path: str,
    function: Callable[..., Any],
    *,
    answer: Any = None,
    twin: bool = False,
    **more: Any,
) -> None:
    """Add a route, and where psik has one its *twin*."""
    for place in (path, f"{path}/") if twin else (path,):
        router.add_api_route(
            place,
            function,
            methods=[method],
            response_model=answer,
            responses={**RESPONSES, **more.get("responses", {})},
            **{name: value for name, value in more.items() if name != "responses"},
        )

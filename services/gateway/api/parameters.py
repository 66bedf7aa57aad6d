"""Query parameters that a route does not know, or is given twice: refused, for a slip must not widen a list."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request

from contracts.errors import FieldError, InvalidError

__all__ = ["refuse_unknown"]

_SHOWN = 64
"""Characters of a name that are repeated to whoever sent it."""

_SEEN: dict[Callable[..., Any], dict[str, bool]] = {}
"""What is known of each route's function: looked up once."""


def refuse_unknown(request: Request) -> None:
    """Raise `InvalidError` for a query parameter that this route does not have, or that it takes once."""
    if not request.scope["query_string"]:
        return
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known, errors = _known(route), []
    for name in dict.fromkeys(request.query_params):
        shown = name[:_SHOWN]
        if name not in known:
            message = f"there is no such parameter; there are: {', '.join(sorted(known)) or 'none'}"
            errors.append(FieldError(field=shown, message=message))
        elif not known[name] and len(request.query_params.getlist(name)) > 1:
            errors.append(FieldError(field=shown, message="must be given once"))
    if errors:
        raise InvalidError("; ".join(f"{item.field}: {item.message}" for item in errors[:5]), errors=errors[:100])


def _known(route: APIRoute) -> dict[str, bool]:
    """Return the parameters of a route, and whether each may be repeated."""
    if (seen := _SEEN.get(route.endpoint)) is not None:
        return seen
    found = _SEEN[route.endpoint] = {}
    waiting: list[Dependant] = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        for field in dependant.query_params:
            found[field.alias] = _is_list(field.field_info.annotation)
    return found


def _is_list(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is UnionType:
        return any(_is_list(option) for option in get_args(annotation))
    return origin in {list, set, tuple, frozenset}

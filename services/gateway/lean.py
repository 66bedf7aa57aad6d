"""Routes without FastAPI's machinery where they need none of it: it is a good part of the work of a short request."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from inspect import iscoroutinefunction
from typing import Any, get_type_hints

from fastapi import APIRouter, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LeanRoute", "Router", "is_lean"]


class LeanRoute(APIRoute):
    """A route that is served as FastAPI would, but straight, if its function is `is_lean`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        if is_lean(self.dependant):
            self.app = _served(self.dependant)


class Router(APIRouter):
    """The router of all our routes: they are lean where they can be."""

    def __init__(self, *, prefix: str = "", tags: list[str | Enum] | None = None) -> None:
        super().__init__(prefix=prefix, tags=tags, route_class=LeanRoute)


def is_lean(dependant: Dependant) -> bool:
    """Say whether a function answers with a response, and is given only what asks of a request's head.

    That is: its path, query and headers, and what coroutines make of the request.
    """
    return (
        _is_plain(dependant)
        and get_type_hints(dependant.call).get("return") is Response
        and all(
            _is_plain(one) and one.name is not None and _asks_for_request_only(one) for one in dependant.dependencies
        )
    )


def _is_plain(dependant: Dependant) -> bool:
    others = (
        *(dependant.body_params, dependant.cookie_params, dependant.http_connection_param_name),
        *(dependant.websocket_param_name, dependant.response_param_name, dependant.background_tasks_param_name),
        *(dependant.security_scopes_param_name, dependant.own_oauth_scopes, dependant.concurrency),
    )
    return iscoroutinefunction(dependant.call) and not any(others)


def _asks_for_request_only(dependant: Dependant) -> bool:
    more = (dependant.dependencies, dependant.path_params, dependant.query_params, dependant.header_params)
    return dependant.name is not None and not any(more)


def _served(dependant: Dependant) -> ASGIApp:
    endpoint, asks = dependant.call, dependant.request_param_name
    assert endpoint is not None
    needs = [(one.name or "", one.call, one.request_param_name) for one in dependant.dependencies]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values: dict[str, Any] = {}
        for name, make, wants in needs:
            assert make is not None
            values[name] = await (make(**{wants: request}) if wants else make())
        values.update(_asked(dependant, request))
        if asks:
            values[asks] = request
        response: Response = await endpoint(**values)
        await response(scope, receive, send)

    return app


def _asked(dependant: Dependant, request: Request) -> dict[str, Any]:
    """Return what the head of a request says; raises what FastAPI raises for what it must not say."""
    values: dict[str, Any] = {}
    errors: list[Any] = []
    for fields, said in (
        (dependant.path_params, request.path_params),
        (dependant.query_params, request.query_params if dependant.query_params else {}),
        (dependant.header_params, request.headers),
    ):
        if fields:
            found, wrong = request_params_to_args(fields, said)
            values.update(found)
            errors += wrong
    if errors:
        raise RequestValidationError(errors)
    return values

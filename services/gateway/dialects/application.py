"""The application of a dialect: its errors in its own words, its OpenAPI document, its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import InternalError, ShunterError
from services.gateway.api.reference import POLICY, render_reference
from services.gateway.factory import Process
from services.gateway.scopes import Voice

__all__ = ["add_documents", "add_voice", "new_app"]

log = structlog.get_logger(__name__)


def new_app(process: Process, *, title: str, version: str, description: str, tags: list[dict[str, Any]]) -> FastAPI:
    """Return an application without any route."""
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        openapi_tags=tags,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.process = process
    return app


def add_voice(
    app: FastAPI, say: Voice, say_http: Callable[[HTTPException], Response], say_invalid: Callable[[Any], Response]
) -> None:
    """Have every error of every route answered in the dialect's own form."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, ShunterError)
        return say(error, request.scope, None)

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return say_http(error)

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return say_invalid(error.errors())

    app.add_exception_handler(ShunterError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_middleware(_Net, say=say)


class _Net:
    """Answers what nobody expected, before Starlette does it in words of its own."""

    def __init__(self, app: ASGIApp, *, say: Voice) -> None:
        self._app = app
        self._say = say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except (ClientDisconnect, HTTPException):
            raise
        except Exception:
            if begun:
                raise
            log.exception("request.failed", method=scope["method"], path=scope["path"])
            error = InternalError("something went wrong here; the logs say what")
            await self._say(error, scope, None)(scope, receive, send)


def add_documents(app: FastAPI, *, pages: tuple[str, ...], enrich: Callable[[dict[str, Any]], None]) -> None:
    """Serve `openapi.json` and, at each of *pages*, the reference made from it; *enrich* completes the document."""

    def document(request: Request) -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
                tags=app.openapi_tags,
            )
            enrich(app.openapi_schema)
        return {**app.openapi_schema, "servers": [{"url": request.scope.get("root_path", "") or "/"}]}

    async def openapi(request: Request) -> Response:
        return JSONResponse(document(request))

    async def page(request: Request) -> Response:
        source = f"{request.scope.get('root_path', '')}/openapi.json"
        return HTMLResponse(
            render_reference(document(request), source=source), headers={"Content-Security-Policy": POLICY}
        )

    app.add_api_route("/openapi.json", openapi, include_in_schema=False)
    for path in pages:
        app.add_api_route(path, page, include_in_schema=False)

"""decode_worker: the worker-facing API of DECODE OpenCloud."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.dialects.application import add_documents, add_voice, new_app
from services.gateway.dialects.decode.routes import declare
from services.gateway.dialects.decode.words import say
from services.gateway.dialects.details import json_body, say_http, say_invalid
from services.gateway.dialects.dialect import Dialect
from services.gateway.factory import Process
from services.gateway.lean import Router

from .file_routes import brings_file, file_router
from .job_routes import job_router
from .settings import DecodeWorkerSettings
from .visits import SERVICE, settings_of

__all__ = ["make_decode_worker"]

_TAGS = [
    {"name": "Jobs", "description": "Work, and how it goes."},
    {"name": "Files", "description": "What jobs begin with, and what they leave behind."},
    {"name": "Root", "description": "What this is."},
]

_DESCRIPTION = """\
The worker-facing API of DECODE OpenCloud, spoken by Shunter: machines pull jobs, run them, and bring the results.

Whoever has pulled a job says so again and again, or loses it to another machine: then everything about it is 404.
"""

_WELCOME = "Welcome to the DECODE OpenCloud Worker-facing API"
_OPEN = frozenset({"/", "/access_info"})
"""Paths that ask nobody who they are."""


def make_decode_worker(process: Process) -> Dialect:
    """Return the dialect."""
    settings = DecodeWorkerSettings.model_validate(process.settings.dialects.get(SERVICE, {}))
    app = new_app(process, title="DECODE OpenCloud workers", version="1.0.0", description=_DESCRIPTION, tags=_TAGS)
    app.state.decode_worker = settings
    for router in (_root_router(), job_router(), file_router()):
        app.router.routes.extend(router.routes)  # an included router is walked through twice
    app.router.redirect_slashes = True  # as the original: its clients follow 307
    add_documents(app, pages=("/docs",), enrich=_enrich)
    add_voice(app, say, say_http, say_invalid)
    return Dialect(SERVICE, app, say, brings_file)


async def root() -> Response:
    """Say what this is."""
    return json_body(_WELCOME)


async def get_access_info(request: Request) -> Response:
    """Say where workers log in."""
    return json_body({"cognito": settings_of(request).access.model_dump()})


def _root_router() -> APIRouter:
    router = Router(tags=["Root"])
    info = dict[str, dict[str, str]]
    declare(router, "GET", "/", root, answer=str, summary="Say what this is")
    declare(router, "GET", "/access_info", get_access_info, answer=info, summary="Show where workers log in")
    return router


def _enrich(document: dict[str, Any]) -> None:
    """Say who may ask."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["HTTPBearer"] = {"type": "http", "scheme": "bearer"}
    for path, item in document["paths"].items():
        for operation in item.values():
            if path not in _OPEN:
                operation["security"] = [{"HTTPBearer": []}]

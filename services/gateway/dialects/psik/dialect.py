"""psik: portable batch submission, as psik_api 1.x and 2.x speak it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from contracts.errors import NotFoundError
from services.gateway.api.reference import POLICY
from services.gateway.dialects.application import add_documents, add_voice, new_app
from services.gateway.dialects.details import say_error, say_http, say_invalid
from services.gateway.dialects.dialect import Dialect
from services.gateway.dialects.plain import PlainJson
from services.gateway.factory import Process

from .backends import Backends
from .file_routes import brings_file, file_router
from .job_routes import job_router
from .lenience import without_trailing_commas
from .more_routes import more_router
from .names import Stamps
from .policy import load_authz
from .settings import PsikSettings
from .visits import SERVICE, Desk

__all__ = ["make_psik"]

_VERSIONS = {1: "1.0.0", 2: "2.0.1"}

_TAGS = [
    {"name": "backends", "description": "Where jobs may run, and how that fares."},
    {"name": "jobs", "description": "Jobs and their files."},
    {"name": "auth", "description": "Tokens."},
]

_DESCRIPTION = """\
The API of psik_api, spoken by Shunter: batch jobs, their files and their logs.

A job is `new`, `queued`, `active`, and in the end `completed`, `failed` or `canceled`.

What is not yours does not exist.
"""


def make_psik(process: Process) -> Dialect:
    """Return the dialect."""
    settings = PsikSettings.model_validate(process.settings.dialects.get(SERVICE, {}))
    desk = Desk(
        settings=settings,
        backends=Backends(settings),
        stamps=Stamps(),
        authz=load_authz(settings.authz),
    )
    mounts = [Mount(f"/v{version}", app=_version(process, desk, version)) for version in _VERSIONS]
    app = Starlette(routes=[Route("/docs", _docs), *mounts])
    app.router.redirect_slashes = False
    app.router.default = _nothing
    return Dialect(SERVICE, app, say_error, brings_file)


def _version(process: Process, desk: Desk, version: int) -> FastAPI:
    app = new_app(process, title="psik", version=_VERSIONS[version], description=_DESCRIPTION, tags=_TAGS)
    app.state.desk = desk
    app.state.version = version
    for router in (job_router(version), more_router(), file_router(version)):
        app.router.routes.extend(router.routes)  # an included router is walked through twice
    add_documents(app, pages=("/", "/docs"), enrich=_enrich)
    app.add_middleware(PlainJson, mend=without_trailing_commas)
    add_voice(app, say_error, say_http, say_invalid)
    return app


def _enrich(document: dict[str, Any]) -> None:
    """Say who may ask."""
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["token"] = {"type": "http", "scheme": "bearer", "bearerFormat": "biscuit"}
    for item in document["paths"].values():
        for operation in item.values():
            operation["security"] = [{"token": []}, {}]


async def _docs(request: Request) -> Response:
    root = request.scope.get("root_path", "")
    links = "".join(f'<li><a href="{root}/v{version}/">psik {number}</a>' for version, number in _VERSIONS.items())
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>psik</title><h1>psik</h1><ul>{links}</ul>"
    return HTMLResponse(page, headers={"Content-Security-Policy": POLICY})


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await say_error(NotFoundError("Not Found"), scope, None)(scope, receive, send)

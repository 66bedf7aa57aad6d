"""decode: the user-facing API of DECODE OpenCloud."""

from __future__ import annotations

from typing import Any

from services.gateway.dialects.application import add_documents, add_voice, new_app
from services.gateway.dialects.details import say_http, say_invalid
from services.gateway.dialects.dialect import Dialect
from services.gateway.dialects.plain import PlainJson
from services.gateway.factory import Process

from .file_routes import brings_file, file_router
from .job_routes import job_router
from .models import JobCreate
from .settings import DecodeSettings
from .sign_up_routes import access_router, sign_up_router
from .visits import SERVICE
from .words import say

__all__ = ["make_decode"]

_TAGS = [
    {"name": "Files", "description": "What users bring, and what jobs leave behind."},
    {"name": "Jobs", "description": "Applications, started and followed."},
    {"name": "Authentication", "description": "Who one is, and how one logs in."},
    {"name": "Root", "description": "What this is."},
]

_DESCRIPTION = """\
The user-facing API of DECODE OpenCloud, spoken by Shunter: files in five areas, and jobs that start applications.

A job is `queued`, `pulled`, `preprocessing`, `running`, `postprocessing`, and in the end `finished` or `error`.

What is not yours does not exist.
"""

_OPEN = frozenset({"/", "/access_info", "/token", "/login"})
"""Paths that ask nobody who they are."""


def make_decode(process: Process) -> Dialect:
    """Return the dialect."""
    settings = DecodeSettings.model_validate(process.settings.dialects.get(SERVICE, {}))
    app = new_app(process, title="DECODE OpenCloud", version="1.0.0", description=_DESCRIPTION, tags=_TAGS)
    app.state.decode = settings
    routers = [access_router(), job_router(), file_router()]
    if settings.sign_up:
        routers.append(sign_up_router())
    for router in routers:
        app.router.routes.extend(router.routes)  # an included router is walked through twice
    app.router.redirect_slashes = True  # as the original: its clients follow 307
    add_documents(app, pages=("/docs",), enrich=_enrich)
    app.add_middleware(PlainJson)
    add_voice(app, say, say_http, say_invalid)
    return Dialect(SERVICE, app, say, brings_file)


def _enrich(document: dict[str, Any]) -> None:
    """Say what a job is asked for with, and who may ask."""
    components = document.setdefault("components", {})
    wish = JobCreate.model_json_schema(ref_template="#/components/schemas/{model}")  # its route reads it itself
    components.setdefault("schemas", {}).update({**wish.pop("$defs", {}), "JobCreate": wish})
    schemes = components.setdefault("securitySchemes", {})
    schemes["HTTPBearer"] = {"type": "http", "scheme": "bearer"}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if path not in _OPEN and not (path == "/user" and method == "post"):
                operation["security"] = [{"HTTPBearer": []}]

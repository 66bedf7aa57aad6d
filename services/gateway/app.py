"""The web application: every router, every error, every request through the edge."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware.cors import CORSMiddleware

from contracts.batches import BatchSpec
from contracts.identity import LoginWish
from contracts.spec import JobSpec
from services.chassis.health import shunter_version

from .api import (
    admin,
    applications,
    backends,
    batches,
    deliveries,
    draining,
    events,
    files,
    folder_rules,
    folders,
    grants,
    health,
    identity,
    job_files,
    jobs,
    keys,
    leases,
    login,
    logs,
    mail,
    projects,
    schedules,
    subscriptions,
    tasks,
    tokens,
    uploads,
    usage,
    users,
    versions,
    zips,
)
from .api.problems import ProblemDocument, add_problem_handlers
from .api.reference import reference_page
from .bodies import PlainBodies
from .dialects.registry import make_dialects
from .dialects.signs import Crossing, Signpost
from .edge import Edge
from .factory import Process

__all__ = ["create_app"]

_ROUTERS = (
    jobs.router,
    batches.router,
    schedules.router,
    subscriptions.router,
    deliveries.router,
    mail.router,
    tasks.router,
    logs.router,
    job_files.router,
    files.router,
    folders.router,
    folder_rules.router,
    versions.router,
    uploads.router,
    zips.router,
    grants.router,
    usage.router,
    events.router,
    leases.router,
    backends.router,
    applications.router,
    identity.router,
    users.router,
    projects.router,
    tokens.router,
    keys.router,
    login.router,
    health.router,
    admin.router,
    draining.router,
)

_TAGS = [
    {"name": "jobs", "description": "Submit work and see what becomes of it."},
    {"name": "batches", "description": "Many jobs in one request, which may wait for each other."},
    {"name": "schedules", "description": "Jobs that are submitted again and again."},
    {"name": "webhooks", "description": "Events that are sent to a URL, and what became of them."},
    {"name": "mail", "description": "Whether one gets mail about jobs."},
    {"name": "tasks", "description": "The tasks of arrays, one by one."},
    {"name": "logs", "description": "The output of jobs."},
    {"name": "job files", "description": "What jobs left behind."},
    {"name": "files", "description": "The user's own files, through the gateway."},
    {"name": "transfers", "description": "Presigned URLs, for bytes that pass the gateway by."},
    {"name": "sharing", "description": "Who else may read or control a job or a folder."},
    {"name": "leases", "description": "Work that machines of elsewhere take, do and report."},
    {"name": "usage", "description": "What was used, and the proof."},
    {"name": "events", "description": "The event log."},
    {"name": "site", "description": "What belongs to the whole site."},
    {"name": "identity", "description": "Users, projects, tokens and key pairs."},
    {"name": "operations", "description": "Health, readiness and metrics."},
]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_MAY_SEND = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer"),
    *("Range", "X-Content-SHA256", "traceparent"),
)
_MAY_READ = (
    *("Content-Disposition", "Content-Range", "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "X-Request-ID", "traceparent"),
)
"""What web pages of other origins may send and read, where the site lets any of them in."""

_DESCRIPTION = """\
Shunter takes work over REST and runs it on whatever cluster has room.

Lists are paged by cursor: `limit`, `cursor`, `next_cursor` and a `Link` header. Errors are RFC 9457 problem documents
with a `code` for programs and `errors[]` for fields. What is not yours does not exist (404).
"""


def create_app(process: Process, *, only: str | None = None) -> FastAPI:
    """Return the application that serves from what was made at the start; *only* one dialect, if one is named."""
    app = FastAPI(
        title="Shunter",
        version=shunter_version(),
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked of the environment by every request
        openapi_url=None if only else "/openapi.json",
    )
    settings = process.settings
    app.state.process = process
    add_problem_handlers(app)
    dialects = make_dialects(process, only=only)
    for router in () if only else (*_ROUTERS, reference_page()):
        # Side by side: an included router is walked through twice for each request.
        app.router.routes.extend(router.routes)
    app.add_middleware(PlainBodies, wait=settings.body_wait)
    app.add_middleware(Crossing)
    if settings.cors.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors.origins,
            allow_methods=_METHODS,
            allow_headers=_MAY_SEND,
            expose_headers=_MAY_READ,
            max_age=settings.cors.max_age,
        )
    closing, guard = getattr(process, "closing", None), getattr(process, "guard", None)
    app.add_middleware(Edge, max_body=settings.max_body, body_wait=settings.body_wait, closing=closing, guard=guard)
    app.add_middleware(Signpost, dialects=dialects)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Generate the document once, with what FastAPI does not know of: the problem schema and the ways in."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        servers=[{"url": "/", "description": "This gateway."}],
    )
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = problem
    for kind in (JobSpec, BatchSpec, LoginWish):  # their routes read the body themselves
        schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, inner in schema.pop("$defs", {}).items():
            schemas.setdefault(name, inner)
        schemas[kind.__name__] = schema
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "A token of the site."},
        "password": {"type": "http", "scheme": "basic", "description": "A name and a password of the site."},
    }
    for path, item in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in item.values():
                # The second, empty choice is local mode: this machine itself, without credentials.
                operation["security"] = [{"token": []}, {"password": []}, {}]
    app.openapi_schema = document
    return document

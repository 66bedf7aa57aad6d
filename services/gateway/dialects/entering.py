"""Who asks in a dialect, and what serves them: the same door, the same caveats and the same services as ours."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request

from services.gateway.api.context import process_of
from services.gateway.auth import facts
from services.gateway.auth.passport import Facts
from services.gateway.callers import TRACE, Caller
from services.gateway.factory import Factory
from services.gateway.scopes import path_within

__all__ = ["enter", "facts_of"]


def facts_of(request: Request, *, service: str, resource: str | None = None, gpus: int = 0) -> Facts:
    """Return what credentials are checked against; the path is as the dialect's own clients write it."""
    known = facts.facts_of(request, service=service, resource=resource)
    return replace(known, path=path_within(request.scope), resource=resource, gpus=gpus)


async def enter(request: Request, known: Facts) -> Factory:
    """Find out who asks and whether their credential is for this; return the services made for them."""
    process = process_of(request)
    passport = await process.door.identify(request, known)
    return Factory(process, Caller.of(passport, request.scope[TRACE], known))

"""One request of a worker: who asks, and what serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from services.gateway.dialects.entering import enter, facts_of
from services.gateway.factory import Factory
from services.gateway.leases import LeaseService, Whose

from .settings import DecodeWorkerSettings

__all__ = ["SERVICE", "Visit", "Visiting", "settings_of"]

SERVICE = "decode_worker"
"""What credentials call this dialect."""

_GROUP = "workers"


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of a worker."""

    services: Factory
    settings: DecodeWorkerSettings

    @property
    def leases(self) -> LeaseService:
        """Return the service that lends work."""
        return self.services.leases()

    @staticmethod
    def whose(number: int) -> Whose:
        """Return a lease by its number; who asks is all that proves whose it is."""
        return Whose(number)


def settings_of(request: Request) -> DecodeWorkerSettings:
    """Return what the site says of the dialect."""
    settings: DecodeWorkerSettings = request.app.state.decode_worker
    return settings


async def visit_of(request: Request) -> Visit:
    """Find out who asks; they must be in the group of workers."""
    settings = settings_of(request)
    number = request.path_params.get("job_id")
    services = await enter(request, facts_of(request, service=SERVICE, resource=number and str(number)))
    principal = services.caller.principal
    if not principal.is_admin and not principal.projects:
        raise HTTPException(401, "Validation Error for Claims")
    if not principal.is_admin and settings.workers not in principal.projects:
        raise HTTPException(403, f"Not a member of the '{_GROUP}' group")
    return Visit(services, settings)


Visiting = Annotated[Visit, Depends(visit_of)]
"""The visit of this request; a route that has it has a worker."""

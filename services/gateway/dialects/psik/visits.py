"""One request of psik's: who asks, what serves them, and what the process keeps for all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import SecretStr
from starlette.exceptions import HTTPException

from contracts.errors import NotFoundError
from services.gateway.api.context import process_of
from services.gateway.auth.passport import Facts
from services.gateway.dialects.entering import enter, facts_of
from services.gateway.factory import Factory

from .backends import Backends, Target
from .jobs import Chain, PsikJobs
from .names import BACKEND, Stamps
from .policy import Authz
from .sealing import Seal
from .settings import PsikSettings

__all__ = ["SERVICE", "BackendName", "Desk", "Visit", "Visiting"]

SERVICE = "psik"
"""What credentials call this dialect."""

BackendName = Annotated[str | None, Query(max_length=256, description="A backend by name; by default the first.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """Made once for the process."""

    settings: PsikSettings
    backends: Backends
    stamps: Stamps
    authz: Authz


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of somebody known."""

    services: Factory
    desk: Desk
    facts: Facts
    version: int
    """Of psik: 1 or 2."""
    seal_key: SecretStr

    @property
    def jobs(self) -> PsikJobs:
        """Return the service for jobs."""
        return PsikJobs(self.services, self.desk.stamps)

    @property
    def seal(self) -> Seal:
        """Return what seals secrets."""
        return Seal(self.seal_key)

    async def target(self, name: str | None) -> Target:
        """Return a backend by name; raises `NotFoundError`."""
        return await self.desk.backends.target(name, self.services.site().backends)

    async def require_gpus(self, gpus: int) -> None:
        """Refuse a job that has more GPUs than the credential is for."""
        facts = replace(self.facts, gpus=gpus)
        self.services.caller.passport.require(facts)
        await self.desk.authz.require(self.services.caller.passport, facts)

    async def chain(self, jobid: str, backend: str | None) -> Chain:
        """Return a job; of 1.x only if it is on the backend that was named."""
        if not Stamps.is_stamp(jobid):
            raise HTTPException(400, "Invalid jobid")
        chain = await self.jobs.chain(jobid)
        if self.version == 1 and backend is not None:
            await self.target(backend)
            if chain.runs[0].labels.get(BACKEND) != backend:
                raise NotFoundError("Job not found")
        return chain


async def visit_of(request: Request) -> Visit:
    """Find out who asks; our policy and the site's own must both let them."""
    desk: Desk = request.app.state.desk
    facts = facts_of(request, service=SERVICE, resource=request.path_params.get("jobid"))
    services = await enter(request, facts)
    await desk.authz.require(services.caller.passport, facts)
    return Visit(services, desk, facts, request.app.state.version, process_of(request).seal_key)


Visiting = Annotated[Visit, Depends(visit_of)]
"""The visit of this request; a route that has it has a principal."""

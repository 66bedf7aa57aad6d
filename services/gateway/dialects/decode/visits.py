"""One request of decode's: who asks, and what serves them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from services.gateway.dialects.entering import enter, facts_of
from services.gateway.factory import Factory

from .groups import Group, groups_of
from .settings import DecodeSettings

__all__ = ["SERVICE", "Visit", "Visiting", "settings_of"]

SERVICE = "decode"
"""What credentials call this dialect."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request of a user."""

    services: Factory
    settings: DecodeSettings
    groups: list[Group]

    @property
    def subject(self) -> str:
        """Return who asks."""
        return self.services.caller.principal.subject

    @property
    def email(self) -> str:
        """Return their address; one who has none is known by their name."""
        return self.services.caller.principal.email or self.subject


def settings_of(request: Request) -> DecodeSettings:
    """Return what the site says of the dialect."""
    settings: DecodeSettings = request.app.state.decode
    return settings


async def visit_of(request: Request) -> Visit:
    """Find out who asks; they must be in the group of users."""
    settings = settings_of(request)
    services = await enter(request, facts_of(request, service=SERVICE, resource=request.path_params.get("job_id")))
    groups = groups_of(services.caller.principal, settings.groups)
    if not groups:
        raise HTTPException(401, "Validation Error for Claims")
    if Group.USERS not in groups:
        raise HTTPException(403, f"Not a member of the '{Group.USERS}' group")
    return Visit(services, settings, groups)


Visiting = Annotated[Visit, Depends(visit_of)]
"""The visit of this request; a route that has it has a user."""

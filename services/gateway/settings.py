"""Settings of the gateway."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from contracts.files import Sha256
from contracts.principals import Level, Role
from services.chassis.settings import ChassisSettings, Server

from .auth.oidc.settings import IssuerSettings, check_issuers

__all__ = ["GatewaySection", "GatewaySettings", "IdentitySettings", "StaticUser"]


class StaticUser(BaseModel):
    """Somebody whose token the site's operator wrote down, as a hash."""

    subject: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]*$", max_length=256)]
    token_sha256: Sha256
    projects: dict[str, Level] = {}
    roles: frozenset[Role] = frozenset()


class IdentitySettings(BaseModel):
    """Who may come in, and how."""

    local: bool = True
    """Whether a request from this very machine that names nobody is the site's admin."""
    users: list[StaticUser] = []
    issuers: Annotated[list[IssuerSettings], AfterValidator(check_issuers)] = []
    """OpenID Connect: whose tokens are taken."""


class GatewaySection(BaseModel):
    """What only the gateway reads."""

    listen: Server = Server(port=8800)
    submit_wait: float = Field(default=5.0, ge=0, le=60)
    """Seconds that a command's answer is awaited before 202 is said."""
    temporal_ui: str | None = None
    """Where operators look at workflows; jobs link there."""
    temporal_namespace: str = "shunter"
    max_body: int = Field(default=12 * 2**20, ge=0)
    """Bytes of a request's body; uploads of files have no such limit."""
    body_wait: float = Field(default=30.0, gt=0, le=3600)
    """Seconds within which a body must have come; of a file, its next bytes."""
    identity: IdentitySettings = IdentitySettings()


class GatewaySettings(ChassisSettings):
    """The common settings and the section `gateway`."""

    farewell: float = Field(default=1.0, ge=0, le=60)
    """Seconds that a stopping gateway still answers, each answer with `Connection: close`."""
    gateway: GatewaySection = GatewaySection()

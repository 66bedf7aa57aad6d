"""Who asks."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from .mail import MailAddress
from .model import Model

__all__ = ["Level", "Principal", "Role"]


class Level(StrEnum):
    """What a member may do in a project."""

    MEMBER = "member"
    ADMIN = "admin"


class Role(StrEnum):
    """What somebody may do on the whole site."""

    ADMIN = "admin"
    AUDITOR = "auditor"


class Principal(Model):
    """Whoever asks, however they came in."""

    subject: str = Field(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]*$")
    """The user's identifier; it owns what they make."""
    issuer: str = "local"
    """Who vouches for the subject."""
    projects: dict[str, Level] = {}
    """The projects (VOs) they belong to, the first one being the default."""
    roles: frozenset[Role] = frozenset()
    token: str | None = Field(default=None, max_length=256)
    """The identifier of the Shunter token they came with, to which something may have been granted."""
    email: MailAddress | None = None
    """Their own address, as far as whoever vouches for them says it, or the site has written it down."""

    @property
    def default_project(self) -> str | None:
        """Return the project that is billed when none is named."""
        return next(iter(self.projects), None)

    @property
    def is_admin(self) -> bool:
        """Say whether the whole site is theirs to steer."""
        return Role.ADMIN in self.roles

"""What a way in gives: who asks, by which way, until when, and what the credential itself forbids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from contracts.principals import Principal

__all__ = ["Caveats", "Facts", "Passport"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a credential's caveats are checked against. Every request has these."""

    method: str
    """Said as `operation` and as `mode`."""
    path: str
    resource: str | None = None
    """The identifier in the path, e.g. a job's; none for lists and for what is about nothing in particular."""
    address: str = ""
    """Where the connection comes from; empty on a unix socket."""
    client: str = ""
    """Whom the connection itself proves, by a certificate: `uid:…`; else `addr:…`."""
    service: str = "shunter"
    """The part of the gateway that is asked: `shunter`, or a dialect's name."""
    gpus: int = 0
    """GPUs that the request asks for, all tasks of an array that may run at once together."""


class Caveats(Protocol):
    """What a credential forbids, though its owner may."""

    def require(self, facts: Facts) -> None:
        """Raise `ForbiddenError` for a request that the credential is not for, `UnauthenticatedError` if it is over."""

    def narrow(self, principal: Principal, facts: Facts) -> Principal:
        """Do the same, and return what is left of the principal's rights."""


@dataclass(frozen=True, slots=True)
class Passport:
    """A principal, and how we know them."""

    principal: Principal
    way: str
    """`static`, `local`, `token`, `oidc`, `key`, `password`, `certificate`."""
    caveats: Caveats | None = None
    expires_at: datetime | None = None
    """When what is still open for them, such as an event stream, must end."""
    claimed: Principal | None = None
    """The principal as the way in alone knows them, where the site has given them more."""

    def require(self, facts: Facts) -> None:
        """Raise `ForbiddenError` for what the credential does not allow."""
        if self.caveats:
            self.caveats.require(facts)

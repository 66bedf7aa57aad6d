"""Who asks, and in which chain of messages."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contracts.envelope import Context
from contracts.principals import Principal

from .auth.passport import Facts, Passport

__all__ = ["TRACE", "Caller"]

TRACE = "shunter.traceparent"
"""Where a request's scope keeps its trace."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, how we know them, and the context of whatever it causes."""

    passport: Passport
    context: Context
    facts: Facts | None = None
    """Of the request; none where no credential asks for them."""

    @classmethod
    def of(cls, passport: Passport, traceparent: str, facts: Facts | None = None) -> Caller:
        """Begin a chain of messages for a request."""
        actor = f"user:{passport.principal.subject}"
        return cls(passport, Context.start(actor, traceparent=traceparent), facts)

    @property
    def is_limited(self) -> bool:
        """Say whether the credential may forbid what its owner may."""
        return self.passport.caveats is not None

    def require(self, *, gpus: int = 0, resource: str | None = None) -> None:
        """Refuse what the credential forbids, now that more is known of the request than when it came in."""
        if self.facts and self.is_limited and (gpus or resource):
            known = self.facts
            self.passport.require(replace(known, gpus=gpus, resource=resource or known.resource))

    @property
    def principal(self) -> Principal:
        """Return who asks."""
        return self.passport.principal

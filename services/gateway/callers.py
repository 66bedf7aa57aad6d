"""Who asks, and in which chain of messages."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.envelope import Context
from contracts.principals import Principal

from .auth.passport import Passport

__all__ = ["TRACE", "Caller"]

TRACE = "shunter.traceparent"
"""Where a request's scope keeps its trace."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, how we know them, and the context of whatever it causes."""

    passport: Passport
    context: Context

    @classmethod
    def of(cls, passport: Passport, traceparent: str) -> Caller:
        """Begin a chain of messages for a request."""
        actor = f"user:{passport.principal.subject}"
        return cls(passport, Context.start(actor, traceparent=traceparent))

    @property
    def principal(self) -> Principal:
        """Return who asks."""
        return self.passport.principal

"""Who asks, and in which chain of messages."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.envelope import Context
from contracts.principals import Principal

__all__ = ["TRACE", "Caller"]

TRACE = "shunter.traceparent"
"""Where a request's scope keeps its trace."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The principal of a request and the context of whatever it causes."""

    principal: Principal
    context: Context

    @classmethod
    def of(cls, principal: Principal, traceparent: str) -> Caller:
        """Begin a chain of messages for a request."""
        return cls(principal, Context.start(f"user:{principal.subject}", traceparent=traceparent))

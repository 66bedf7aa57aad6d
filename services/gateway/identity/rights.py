"""Who may do what with identity itself."""

from __future__ import annotations

from contracts.errors import ForbiddenError
from services.gateway.callers import Caller

__all__ = ["require_first_hand"]


def require_first_hand(caller: Caller, what: str) -> None:
    """Refuse whoever shows a token: what it made would outlive it, and would not be narrowed as it is."""
    if caller.passport.way == "token":
        raise ForbiddenError(f"a token cannot be used to {what}; narrow it, or come in as you did to get it")

"""Where tokens are given out, as those see it who hand them on."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from .passport import Passport

__all__ = ["TokenDesk"]


class TokenDesk(Protocol):
    """Gives out tokens of the site's own, and says what is written in one."""

    async def mint(self, passport: Passport, lifetime: timedelta) -> str:
        """Return a token for whoever has this passport; raises `ForbiddenError` if they may have none."""

    def inspect(self, text: str) -> list[str]:
        """Return the source of each block of a token, unverified; raises `InvalidError` for what is no token."""

"""The door with a guard beside it."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from services.gateway.guard.guard import Guard

from .authenticator import Door
from .passport import Facts, Passport

__all__ = ["WatchedDoor"]


class WatchedDoor(Door):
    """Lets in whom the door lets in, but not too often, and makes guessing slow."""

    def __init__(self, door: Door, guard: Guard) -> None:
        super().__init__(())
        self._door = door
        self._guard = guard

    async def identify(self, connection: HTTPConnection, facts: Facts | None = None) -> Passport:
        """Return who asks; raises `TooManyRequestsError` besides what the door raises."""
        async with self._guard.attempt(connection):
            passport = await self._door.identify(connection, facts)
        self._guard.admit_principal(connection.scope, passport.principal.subject)
        return passport

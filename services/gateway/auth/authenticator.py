"""What every way in promises, and the door that tries them in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from starlette.requests import HTTPConnection

from contracts.errors import UnauthenticatedError

from .passport import Passport

__all__ = ["Authenticator", "Door"]


class Authenticator(ABC):
    """One way in."""

    @abstractmethod
    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Say who asks; None if these credentials are of another way.

        Raises `UnauthenticatedError` for credentials of this way that are wrong, and `ForbiddenError` where this way
        must not be used.
        """


class Door:
    """Finds the passport of a request by the first way in that knows them."""

    def __init__(self, ways: Sequence[Authenticator]) -> None:
        self._ways = ways

    async def identify(self, connection: HTTPConnection) -> Passport:
        """Return who asks, or raise `UnauthenticatedError`."""
        for way in self._ways:
            if passport := await way.authenticate(connection):
                return passport
        if "authorization" in connection.headers:
            raise UnauthenticatedError("the credentials are not valid here")
        raise UnauthenticatedError("who are you? send a token: `Authorization: Bearer …`")

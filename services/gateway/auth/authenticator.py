"""What every way in promises, and the door that tries them in order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from starlette.requests import HTTPConnection

from contracts.errors import UnauthenticatedError
from services.gateway.identity.register import Register

from .facts import facts_of
from .passport import Facts, Passport

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

    def __init__(self, ways: Sequence[Authenticator], register: Register | None = None) -> None:
        self._ways = ways
        self._register = register or Register()

    async def identify(self, connection: HTTPConnection, facts: Facts | None = None) -> Passport:
        """Return who asks, with what the site has given them and without what their credential forbids.

        Raises `UnauthenticatedError`, or `ForbiddenError` where the credential is not for this request.
        """
        for way in self._ways:
            if passport := await way.authenticate(connection):
                return self._admit(passport, connection, facts)
        if "authorization" in connection.headers:
            raise UnauthenticatedError("the credentials are not valid here")
        raise UnauthenticatedError("who are you? send a token: `Authorization: Bearer …`")

    def _admit(self, passport: Passport, connection: HTTPConnection, facts: Facts | None) -> Passport:
        admitted = self._register.admit(passport)
        if admitted.caveats is None:
            return admitted
        principal = admitted.caveats.narrow(admitted.principal, facts or facts_of(connection))
        return admitted if principal is admitted.principal else replace(admitted, principal=principal)

"""Static tokens: the operator keeps a hash of each user's token in the settings."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import sha256

from starlette.requests import HTTPConnection

from contracts.principals import Principal
from services.gateway.settings import StaticUser

from .authenticator import Authenticator
from .passport import Passport

__all__ = ["StaticTokens", "principal_of"]


class StaticTokens(Authenticator):
    """Knows users by `Authorization: Bearer <token>`."""

    def __init__(self, users: Sequence[StaticUser]) -> None:
        self._known = [
            (
                user.token_sha256.encode(),
                Passport(principal_of(user), "static"),
            )
            for user in users
            if user.token_sha256
        ]

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return the user whose token this is; a token of nobody here may belong to another way."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = sha256(token.strip().encode()).hexdigest().encode()
        found = None
        for known, passport in self._known:
            # Every hash is compared, so that the time says nothing about who is listed.
            if hmac.compare_digest(known, digest):
                found = passport
        return found


def principal_of(user: StaticUser) -> Principal:
    """Return somebody of the settings."""
    return Principal(subject=user.subject, issuer="static", projects=user.projects, roles=user.roles, email=user.email)

"""The way in by a client's certificate, where the gateway itself ends TLS."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from pydantic import ValidationError
from starlette.requests import HTTPConnection

from contracts.errors import ForbiddenError, UnauthenticatedError
from contracts.mail import known_address
from contracts.principals import Principal
from services.chassis.peers import Certificate, peer_of
from services.gateway.settings import CertificateSettings, StaticUser

from .authenticator import Authenticator
from .passport import Passport
from .tokens import principal_of

__all__ = ["Certificates"]

_PLACES = {"uid": "userId", "cn": "commonName"}


class Certificates(Authenticator):
    """Knows users by the certificate of their connection; who shows a token besides is whom the token names."""

    def __init__(
        self,
        settings: CertificateSettings,
        users: Sequence[StaticUser] = (),
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._pattern = re.compile(settings.match)
        self._users = {user.subject: principal_of(user) for user in users}
        self._clock = clock

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return whom the certificate names."""
        certificate = peer_of(connection.scope).certificate
        if certificate is None or "authorization" in connection.headers:
            return None
        # The handshake has looked at it; a connection may be kept for longer than it is valid.
        if self._clock() >= certificate.valid_until.timestamp():
            raise UnauthenticatedError("the certificate has expired")
        principal = self._principal(self._subject(certificate))
        if principal.email is None and len(certificate.emails) == 1:
            principal = principal.model_copy(update={"email": known_address(certificate.emails[0])})
        return Passport(principal, "certificate", expires_at=certificate.valid_until)

    def _subject(self, certificate: Certificate) -> str:
        place = self._settings.user
        names = certificate.emails if place == "email" else certificate.subject.get(_PLACES[place], ())
        found = self._pattern.fullmatch(names[0]) if len(names) == 1 else None
        if not found or not found["user"]:
            raise UnauthenticatedError("the certificate names no user of this site")
        return self._settings.prefix + found["user"]

    def _principal(self, subject: str) -> Principal:
        if known := self._users.get(subject):
            return known.model_copy(update={"issuer": "certificate"})
        if self._settings.listed_only:
            raise ForbiddenError("the user of this certificate is not listed here")
        try:
            return Principal(subject=subject, issuer="certificate")
        except ValidationError:
            raise UnauthenticatedError("the certificate names its user in a way that cannot be used here") from None

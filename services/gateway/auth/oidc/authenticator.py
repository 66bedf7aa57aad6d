"""The way in by tokens of OpenID Connect issuers; what was checked is remembered for a while."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jws import CompactSignature
from starlette.requests import HTTPConnection

from contracts.errors import UnauthenticatedError
from services.gateway.auth.authenticator import Authenticator
from services.gateway.auth.passport import Passport

from .fetching import Fetch, Fetcher
from .issuer import Issuer, TokenRegistry
from .settings import IssuerSettings, is_loopback_url

__all__ = ["OidcTokens"]

_LONGEST = 16 * 1024
"""Characters of a token; more would cost us, and no issuer makes such."""

_MOST_REMEMBERED = 10_000

_READS = TokenRegistry(strict_check_header=False)


class OidcTokens(Authenticator):
    """Knows users by `Authorization: Bearer <JWT>`, signed by an issuer that the site trusts."""

    def __init__(
        self,
        issuers: Sequence[IssuerSettings],
        *,
        fetch: Callable[[IssuerSettings], Fetch] | None = None,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        make = fetch or _fetcher
        self._issuers = {one.issuer: Issuer(one, make(one), clock=clock, ticks=ticks) for one in issuers}
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Passport]] = OrderedDict()

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return whom the token is about; what does not look like a JWT is of another way."""
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or token.count(".") != 2:
            return None
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        if passport := self._recall(digest):
            return passport
        if len(token) > _LONGEST:
            raise UnauthenticatedError("the token is too long")
        signature, claims = _open(token)
        issuer = self._issuers.get(str(claims.get("iss")))
        if issuer is None:
            raise UnauthenticatedError("the token is of an issuer that is not known here")
        passport = await issuer.identify(token, signature, claims)
        self._remember(digest, passport, issuer.settings.remember)
        return passport

    def _recall(self, digest: bytes) -> Passport | None:
        found = self._known.get(digest)
        if found is None:
            return None
        until, passport = found
        if self._clock() >= until:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return passport

    def _remember(self, digest: bytes, passport: Passport, seconds: float) -> None:
        assert passport.expires_at is not None
        until = min(passport.expires_at.timestamp(), self._clock() + seconds)
        self._known[digest] = until, passport
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)


def _open(token: str) -> tuple[CompactSignature, Mapping[str, Any]]:
    """Read what a token says, without believing it."""
    try:
        signature = jws.extract_compact(token.encode("ascii"), None, _READS)
        claims = json.loads(signature.payload or b"")
    except (JoseError, ValueError, TypeError, RecursionError):
        raise UnauthenticatedError("the token is no JSON Web Token") from None
    if not isinstance(claims, dict) or not isinstance(signature.headers(), dict):
        raise UnauthenticatedError("the token is no JSON Web Token")
    return signature, claims


def _fetcher(settings: IssuerSettings) -> Fetch:
    return Fetcher(loopback=is_loopback_url(settings.issuer), timeout=settings.timeout, ca_file=settings.ca_file)

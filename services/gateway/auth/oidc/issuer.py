"""One issuer: whether a token is theirs and good, and whom it is about."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc import jws
from joserfc.errors import ExpiredTokenError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key
from joserfc.jws import CompactSignature, JWSRegistry
from joserfc.jwt import ClaimsOption, JWTClaimsRegistry

from contracts.errors import UnauthenticatedError, UnavailableError
from services.gateway.auth.passport import Passport

from .claims import ClaimReader
from .fetching import Fetch
from .keys import KeyBook
from .settings import IssuerSettings

__all__ = ["Issuer", "TokenRegistry"]

_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""What a token may say it is; a logout token or a proof of possession, signed by the same key, is none of these."""

_LATEST = 253402300799
"""The end of the year 9999."""


class TokenRegistry(JWSRegistry):
    """Bounds of joserfc that fit tokens with certificates in their head."""

    max_header_length = 8 * 1024

    def get_alg(self, name: str) -> Any:
        """Return an algorithm that the site allows, without a warning for those that it should think about."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


class Issuer:
    """Checks the tokens of one issuer."""

    def __init__(
        self,
        settings: IssuerSettings,
        fetch: Fetch,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._fetch = fetch
        self._clock = clock
        self._keys = KeyBook(settings, fetch, ticks=ticks)
        self._reader = ClaimReader(settings)
        self._registry = TokenRegistry(algorithms=settings.algorithms, strict_check_header=False)
        options: dict[str, ClaimsOption] = {
            "iss": {"essential": True, "value": settings.issuer},
            "exp": {"essential": True},
            settings.audience_claim: {"essential": True, "values": list(settings.audiences)},
        }
        self._rules = JWTClaimsRegistry(now=lambda: int(clock()), leeway=settings.leeway, **options)

    async def identify(self, token: str, signature: CompactSignature, claims: Mapping[str, Any]) -> Passport:
        """Return whom a token is about; *signature* and *claims* are what it says, unverified."""
        await self._verify(signature)
        self._check(claims)
        principal = self._reader.read(await self._complete(token, claims) if self.settings.userinfo else claims)
        return Passport(principal, "oidc", expires_at=datetime.fromtimestamp(claims["exp"], UTC))

    async def _verify(self, signature: CompactSignature) -> None:
        head = signature.headers()
        algorithm, kid = head.get("alg"), head.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self.settings.algorithms:
            raise UnauthenticatedError("the token is signed in a way that is not taken here")
        if "crit" in head or "b64" in head:
            raise UnauthenticatedError("the token demands what is not known here")
        kind = head.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise UnauthenticatedError("the token is of a kind that opens nothing")
        if kid is not None and not isinstance(kid, str):
            raise UnauthenticatedError("the token names its key in no word")
        # What a head says of where its key lies (jku, x5u, jwk, x5c) is not looked at.
        for key in await self._keys.find(kid, algorithm):
            if self._fits(signature, key):
                return
        raise UnauthenticatedError("no key of the issuer that is known here has signed the token")

    def _fits(self, signature: CompactSignature, key: Key) -> bool:
        try:
            return jws.validate_compact(signature, key, registry=self._registry)
        except (JoseError, ValueError):
            return False

    def _check(self, claims: Mapping[str, Any]) -> None:
        try:
            self._rules.validate(dict(claims))
        except ExpiredTokenError:
            raise UnauthenticatedError("the token has expired") from None
        except (JoseError, OverflowError) as error:
            raise UnauthenticatedError(f"the token is not valid here: {_reason(error)}") from None
        if claims["exp"] > _LATEST:
            raise UnauthenticatedError("the token is not valid here: it never ends")
        if "cnf" in claims:
            raise UnauthenticatedError("the token is bound to a key; such tokens are not taken here")

    async def _complete(self, token: str, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """Add what the issuer says of the user besides."""
        document = await self._keys.get_document()
        more = await self._fetch(str(document.get("userinfo_endpoint", "")), bearer=token)
        if more.get("sub") != claims.get("sub"):
            raise UnavailableError(f"{self.settings.name} told of another user")
        return {**more, **claims}


def _reason(error: Exception) -> str:
    return str(getattr(error, "description", "") or getattr(error, "claim", "") or type(error).__name__)[:200]

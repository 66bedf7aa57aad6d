"""Tokens of an issuer that is played: signed as a real one would, or as an attacker would."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import Key, OctKey, RSAKey
from starlette.requests import HTTPConnection

from contracts.errors import UnavailableError
from services.gateway.auth.oidc.authenticator import OidcTokens
from services.gateway.auth.oidc.settings import IssuerSettings

__all__ = ["ISSUER", "NOW", "FakeIssuer", "bearer", "rsa_key", "segment"]

ISSUER = "https://issuer.test/realm"
NOW = 1_800_000_000.0


def rsa_key(kid: str = "k1") -> RSAKey:
    """Return a new key pair."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)


def segment(content: object) -> str:
    """Write a part of a token by hand."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def bearer(token: str) -> HTTPConnection:
    """Return a request that shows a token."""
    raw = [(b"authorization", f"Bearer {token}".encode("latin-1", "replace"))]
    return HTTPConnection({"type": "http", "client": ("192.0.2.7", 1), "headers": raw, "path": "/"})


class FakeIssuer:
    """An issuer, what it has been asked for, and the clocks of whoever checks its tokens."""

    def __init__(self, *keys: Key) -> None:
        self.keys = list(keys) or [rsa_key()]
        self.asked: list[str] = []
        self.is_away = False
        self.user: dict[str, Any] = {}
        self.now = NOW
        self.document: dict[str, Any] = {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/user",
        }

    async def fetch(self, url: str, *, bearer: str | None = None) -> Mapping[str, Any]:  # noqa: ARG002
        """Answer as it does over HTTP."""
        self.asked.append(url.rsplit("/", 1)[-1])
        if self.is_away:
            raise UnavailableError("away")
        if url.endswith("/user"):
            return self.user
        if url.endswith("/keys"):
            return {"keys": [key.as_dict(private=isinstance(key, OctKey)) for key in self.keys]}
        return self.document

    def way(self, **more: Any) -> OidcTokens:
        """Return the way in for its users."""
        base = {"name": "lab", "issuer": ISSUER, "audiences": ["shunter"], "claims": {"rules": ["groups"]}}
        settings = IssuerSettings.model_validate({**base, **more})
        return OidcTokens([settings], fetch=lambda _: self.fetch, clock=lambda: self.now, ticks=lambda: self.now - NOW)

    def sign(self, *, key: Key | None = None, head: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Return a token; what is None is left out."""
        signer = key or self.keys[0]
        named = {"alg": "RS256", "kid": signer.kid, **(head or {})}
        start = {name: value for name, value in named.items() if value is not None}
        base = {"iss": ISSUER, "aud": "shunter", "sub": "ada", "exp": int(NOW) + 600, "iat": int(NOW)}
        found = {name: value for name, value in {**base, **claims}.items() if value is not None}
        return jwt.encode(start, found, signer, algorithms=[start["alg"]])

"""The key that signs what pilots may do in NATS, and what NATS has to know of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import SecretStr

from contracts.errors import InvalidError

__all__ = ["Issuer", "claims_of", "seed_of"]

_PURPOSE = b"shunter.nats.callout.v1"
_HEADER = {"typ": "JWT", "alg": "ed25519-nkey"}
_ACCOUNT = "SA"
"""How the seed of an account begins."""


def seed_of(seed: SecretStr, key: SecretStr) -> str:
    """Return the seed that a site says, or one that is made from the *key* of its tickets."""
    if said := seed.get_secret_value():
        if not said.startswith(_ACCOUNT):
            raise InvalidError.of("scheduler.pilots.seed", f"must be the seed of an account, which begins {_ACCOUNT}")
        return said
    import nkeys

    raw = hmac.new(key.get_secret_value().encode(), _PURPOSE, hashlib.sha256).digest()
    return bytes(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_ACCOUNT)).decode()


class Issuer:
    """Signs tokens as NATS reads them."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    @cached_property
    def _pair(self) -> Any:
        import nkeys

        try:
            return nkeys.from_seed(bytearray(self._seed.encode()))
        except nkeys.NkeysError as error:
            raise InvalidError.of("scheduler.pilots.seed", "is not the seed of a key") from error

    @property
    def public(self) -> str:
        """Return the public key: what NATS has as `issuer`."""
        return str(bytes(self._pair.public_key).decode())

    def sign(self, subject: str, audience: str, nats: Mapping[str, Any], **more: Any) -> str:
        """Return a signed token about *subject* for *audience*."""
        claims = {"iss": self.public, "sub": subject, "aud": audience, "iat": int(time.time()), "nats": nats, **more}
        digest = hashlib.sha512(json.dumps(claims).encode()).digest()[:32]
        claims["jti"] = base64.b32encode(digest).decode().rstrip("=")
        signed = f"{_encoded(_HEADER)}.{_encoded(claims)}"
        return f"{signed}.{_plain(bytes(self._pair.sign(signed.encode())))}"


def claims_of(token: bytes) -> dict[str, Any]:
    """Return what a token of a server says; raises `InvalidError` for what is none.

    Whose signature it is is not asked: only servers, and services of ours, may say anything where these come from.
    """
    try:
        claims: dict[str, Any] = json.loads(_decoded(token.decode().split(".")[1]))
    except (ValueError, IndexError) as error:
        raise InvalidError("this is no question of a NATS server") from error
    return claims


def _encoded(claims: Mapping[str, Any]) -> str:
    return _plain(json.dumps(claims, separators=(",", ":")).encode())


def _plain(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


if __name__ == "__main__":
    from services.scheduler.settings import SchedulerSettings

    settings = SchedulerSettings()
    seed = seed_of(settings.scheduler.pilots.seed, settings.ticket_key)
    sys.stdout.write(f"{Issuer(seed).public}\n")

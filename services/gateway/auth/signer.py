"""The root keys at work: tokens are signed with the newest, and checked with all."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from contracts.caveats import caveats_of
from contracts.errors import UnauthenticatedError
from contracts.identity import RootKey, RootKeys, TokenScopes
from contracts.principals import Principal
from services.gateway.identity.register import OURS, STATIC

from .costs import is_affordable
from .roots import Secrets

if TYPE_CHECKING:
    from biscuit_auth import Biscuit, PrivateKey, PublicKey

__all__ = ["LONGEST", "Signer"]

LONGEST = 12 * 1024
"""Characters of a token: some dozen times narrowed."""

_SHAPE = re.compile(r"[A-Za-z0-9_=-]{100,}")


class Signer:
    """Holds the root keys: signs with the newest, checks with all."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    @cached_property
    def _public(self) -> dict[int, PublicKey]:
        from biscuit_auth import KeyPair

        roots = self._secrets.roots.items()
        return {number: KeyPair.from_private_key(_private(raw)).public_key for number, raw in roots}

    @property
    def key_id(self) -> int:
        """Return the number of the key that signs."""
        return self._secrets.newest

    def published(self) -> RootKeys:
        """Return the public keys, that which signs first."""
        numbers = sorted(self._public, reverse=True)
        keys = [RootKey(id=number, public_key=bytes(self._public[number].to_bytes()).hex()) for number in numbers]
        return RootKeys(keys=keys)

    def sign(self, principal: Principal, scopes: TokenScopes, expires_at: datetime) -> Biscuit:
        """Make a token for somebody as their way in knows them."""
        from biscuit_auth import BiscuitBuilder

        source, values = _authority(principal, scopes)
        checks, more = caveats_of(scopes, expires_at)
        builder = BiscuitBuilder(f"{source}\n{checks}", {**values, **more})
        builder.set_root_key_id(self.key_id)
        return builder.build(_private(self._secrets.roots[self.key_id]))

    def open(self, token: str) -> Biscuit | None:
        """Return a token whose signatures are right; None for anything else.

        Raises `UnauthenticatedError` for one that costs too much to check.
        """
        from biscuit_auth import Biscuit, BiscuitValidationError

        if len(token) > LONGEST or not _SHAPE.fullmatch(token):
            return None
        try:
            found = Biscuit.from_base64(token, self._key)
        except BiscuitValidationError:
            return None
        if not is_affordable(token):
            raise UnauthenticatedError("the token's blocks cost too much to check: few facts, plain checks, no rules")
        return found

    def _key(self, number: int | None = None) -> PublicKey:
        if number is None:
            raise KeyError("a token of ours names its key")
        return self._public[number]


def _private(raw: bytes) -> PrivateKey:
    import biscuit_auth

    library: Any = biscuit_auth  # its stubs know an older signature
    found: PrivateKey = library.PrivateKey.from_bytes(raw, library.Algorithm.Ed25519)
    return found


def _authority(principal: Principal, scopes: TokenScopes) -> tuple[str, dict[str, object]]:
    """Say who somebody is; what the settings and the database know is looked up when the token is shown."""
    lines, values = ["user({user}); issuer({issuer});"], {"user": principal.subject, "issuer": principal.issuer}
    if principal.issuer not in {STATIC, OURS}:
        if principal.projects:
            # One fact however many there are: what checks cost grows with the facts of one name.
            lines.append("projects({projects});")
            values["projects"] = "\n".join(f"{level.value} {name}" for name, level in principal.projects.items())
        lines += [f'role("{role.value}");' for role in sorted(principal.roles)]
        if principal.email:
            lines.append("email({email});")
            values["email"] = principal.email
    lines += [f'use("{role.value}");' for role in sorted(scopes.roles)]
    return "\n".join(lines), dict(values)

"""The ways in that a site offers. One more way is one more file here and one more line below."""

from __future__ import annotations

from services.gateway.identity.home import Identity
from services.gateway.settings import IdentitySettings

from .authenticator import Authenticator, Door
from .certificates import Certificates
from .keypairs import SignedRequests
from .local import LocalMode
from .tokens import StaticTokens

__all__ = ["open_door"]


def open_door(settings: IdentitySettings, identity: Identity | None = None) -> Door:
    """Return the door with every way in that the settings name, in the order in which they are tried."""
    ways: list[Authenticator] = [StaticTokens(settings.users)]
    if settings.issuers:
        from .oidc.authenticator import OidcTokens  # joserfc, where nobody else needs it

        ways.append(OidcTokens(settings.issuers))
    if settings.certificates:
        ways.append(Certificates(settings.certificates, settings.users))
    if identity:
        signed = SignedRequests(identity.key_pairs, window=settings.replay_window)
        ways += [identity.biscuits, signed, identity.passwords]
    if settings.local:
        ways.append(LocalMode())
    return Door(ways, identity.register if identity else None)

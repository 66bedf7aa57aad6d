"""Local mode: whoever sits at this machine and names nobody is its admin. Everybody else is refused."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from contracts.errors import ForbiddenError
from contracts.principals import Principal, Role
from services.chassis.peers import peer_of

from .authenticator import Authenticator
from .passport import Passport

__all__ = ["LOCAL", "LocalMode"]

LOCAL = Principal(subject="local", issuer="local", roles=frozenset({Role.ADMIN}))
"""Who asks in local mode."""

_PASSPORT = Passport(LOCAL, "local")

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers that say the client is behind a proxy: then the loopback address says nothing about them."""


class LocalMode(Authenticator):
    """Knows requests without credentials that come from this machine."""

    async def authenticate(self, connection: HTTPConnection) -> Passport | None:
        """Return the local admin, or refuse who is not local."""
        if "authorization" in connection.headers:
            return None
        by_socket = peer_of(connection.scope).is_unix
        if not by_socket and (not connection.client or not _is_loopback(connection.client.host)):
            raise ForbiddenError("without credentials only this machine itself may ask (local mode)")
        if any(name in connection.headers for name in _FORWARDED):
            raise ForbiddenError("local mode does not work through a proxy: send a token")
        if by_socket:  # no page of a browser gets there
            return _PASSPORT
        # A web page in the user's browser reaches us from loopback too; it cannot lie about these two.
        origin = connection.headers.get("origin")
        if not _names_loopback(f"//{connection.headers.get('host', '')}") or (origin and not _names_loopback(origin)):
            raise ForbiddenError("local mode answers requests for a loopback name only: send a token")
        return _PASSPORT


@lru_cache(maxsize=256)
def _names_loopback(url: str) -> bool:
    try:
        return _is_loopback(urlsplit(url).hostname)
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _is_loopback(host: str | None) -> bool:
    if not host:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    inner = getattr(address, "ipv4_mapped", None) or address
    return bool(inner.is_loopback)

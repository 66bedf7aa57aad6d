"""Where events may be sent: by host, scheme and port when somebody asks, by address when we connect."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from contracts.errors import InvalidError
from contracts.hooks import Address, IpAddress, read_url
from services.scheduler.settings import Webhooks

__all__ = ["Targets", "is_public"]

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_SETTING = "scheduler.webhooks"


class Targets:
    """Knows what the operator allows."""

    def __init__(self, settings: Webhooks) -> None:
        self._settings = settings
        self._hosts = frozenset(pattern for pattern in settings.allow if "*" not in pattern)
        self._below = tuple(pattern[1:] for pattern in settings.allow if pattern.startswith("*."))
        self._every = "*" in settings.allow

    def require(self, url: str, field: str) -> Address:
        """Return where a URL leads; refuses one that is not allowed, and says what the operator would have to set."""
        try:
            address = read_url(url)
        except ValueError as error:
            raise InvalidError.of(field, str(error)) from error
        if refusal := self.refusal(address):
            raise InvalidError.of(field, refusal)
        return address

    def refusal(self, address: Address) -> str:
        """Say why a target is not allowed, or nothing. Where a name leads is not known before we connect."""
        settings = self._settings
        if not self._knows(address.host):
            return f"this site sends nothing to {address.host}; its operator would have to name it in {_SETTING}.allow"
        if address.scheme == "http" and not settings.http:
            return f"must begin with https://; the site's operator would have to set {_SETTING}.http"
        if settings.ports and address.port not in settings.ports:
            return (
                f"the port {address.port} is not allowed; the site's operator would have to name it in {_SETTING}.ports"
            )
        if address.literal is not None and not self.allows(address.literal):
            return (
                f"{address.host} is no public address; "
                f"the site's operator would have to name its network in {_SETTING}.networks"
            )
        return ""

    def allows(self, ip: IpAddress) -> bool:
        """Say whether we may connect to an address."""
        real = _unwrapped(ip)
        inside = any(real.version == network.version and real in network for network in self._settings.networks)
        return inside or is_public(real)

    def _knows(self, host: str) -> bool:
        return self._every or host in self._hosts or any(host.endswith(below) for below in self._below)


def is_public(ip: IpAddress) -> bool:
    """Say whether an address is one of the world's: not this machine, its networks, or where clouds keep secrets."""
    real = _unwrapped(ip)
    ours = real.is_private or real.is_link_local or (isinstance(real, IPv6Address) and real.is_site_local)
    nobodys = real.is_multicast or real.is_unspecified or real.is_reserved
    return real.is_global and not (ours or nobodys)


def _unwrapped(ip: IpAddress) -> IpAddress:
    """Return the IPv4 address that an IPv6 address stands for, where it does."""
    if isinstance(ip, IPv4Address):
        return ip
    inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
    if inner is None and (ip in _NAT64 or ip in _COMPATIBLE) and not (ip.is_loopback or ip.is_unspecified):
        inner = IPv4Address(int(ip) & 0xFFFFFFFF)
    return inner or ip

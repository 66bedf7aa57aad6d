"""Whom an address stands for."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from starlette.types import Scope

__all__ = ["address_of", "group_of", "is_here"]

_NETWORK = 64
"""Bits of an IPv6 address that are given out together; the others are the customer's to choose."""


def address_of(scope: Scope) -> str:
    """Return where a request comes from; empty on a Unix socket."""
    client = scope.get("client")
    return str(client[0]) if client else ""


@lru_cache(maxsize=4096)
def group_of(address: str) -> str:
    """Return the key under which the requests of an address are counted."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv4Address):
        return address
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ip_network((found, _NETWORK), strict=False))


@lru_cache(maxsize=4096)
def is_here(address: str) -> bool:
    """Say whether an address is this very machine's."""
    try:
        found = ip_address(address)
    except ValueError:
        return not address
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback

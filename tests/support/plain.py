"""Questions to servers of tests over plain HTTP, by one client: each new one would read the machine's certificates."""

from __future__ import annotations

import httpx

__all__ = ["get"]

_CLIENT = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""It keeps no connection: whoever is asked may have died since, or not listen any more."""


def get(url: str, *, timeout: float = 5.0) -> httpx.Response:
    """Ask over a new connection."""
    return _CLIENT.get(url, timeout=timeout)

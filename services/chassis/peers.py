"""Who is at the other end of a connection, as far as the connection itself proves it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope

__all__ = ["Certificate", "Extensions", "Peer", "extensions_of", "peer_of"]

Extensions = dict[str, Any]

_PEER = "shunter.peer"
"""Where a scope keeps it, among its extensions."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client's certificate says; an authority of the site has signed it."""

    subject: Mapping[str, tuple[str, ...]]
    """Its parts by their long names, such as `commonName` and `userId`; some may be given twice."""
    emails: tuple[str, ...]
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end."""

    is_unix: bool = False
    """Whether it came by our Unix socket, which only our own user may open."""
    certificate: Certificate | None = None


_UNKNOWN = Peer()


def extensions_of(transport: asyncio.BaseTransport) -> Extensions:
    """Return what is put into the scope of each request of a connection; empty for a plain one."""
    if tls := transport.get_extra_info("ssl_object"):
        return {_PEER: Peer(certificate=_read(tls.getpeercert()))}
    sock = transport.get_extra_info("socket")
    return {_PEER: Peer(is_unix=True)} if sock and sock.family == socket.AF_UNIX else {}


def peer_of(scope: Scope) -> Peer:
    """Return the other end of a request's connection."""
    found: Peer = (scope.get("extensions") or {}).get(_PEER, _UNKNOWN)
    return found


def _read(found: Mapping[str, Any] | None) -> Certificate | None:
    """Read what `ssl` tells of a certificate, which it does for those alone that it has verified."""
    if not found:
        return None
    subject: dict[str, tuple[str, ...]] = {}
    for name, value in (pair for part in found.get("subject", ()) for pair in part):
        subject[name] = (*subject.get(name, ()), value)
    emails = tuple(value for kind, value in found.get("subjectAltName", ()) if kind == "email")
    until = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    return Certificate(subject, emails, until)

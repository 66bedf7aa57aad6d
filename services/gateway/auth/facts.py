"""The facts of a request, against which a credential's caveats are checked."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from services.chassis.peers import peer_of

from .passport import Facts

__all__ = ["bearer_of", "facts_of"]

_NAMES = ("job_id", "batch_id", "schedule_id", "subscription_id")
"""Names of path parameters that say which thing a request is about, whatever else its path names."""


def facts_of(connection: HTTPConnection, *, service: str = "shunter", resource: str | None = None) -> Facts:
    """Return the facts of a request whose body nobody has looked at; *resource* wins over what the path names."""
    scope = connection.scope
    address = connection.client.host if connection.client else ""
    return Facts(
        method=scope.get("method", "GET"),
        path=scope["path"],
        resource=resource or _resource_of(connection),
        address=address,
        client=_client_of(connection, address),
        service=service,
    )


def _client_of(connection: HTTPConnection, address: str) -> str:
    """Say whom the connection itself proves: who stands in its certificate, else where it comes from."""
    if certificate := peer_of(connection.scope).certificate:
        for word, place in (("uid", "userId"), ("cn", "commonName")):
            if names := certificate.subject.get(place):
                return f"{word}:{names[0]}"
    return f"addr:{address}" if address else ""


def _resource_of(connection: HTTPConnection) -> str | None:
    parameters = connection.scope.get("path_params") or {}
    for name in _NAMES:
        if found := parameters.get(name):
            return str(found)
    if connection.scope["path"] == "/v1/events":
        # The log of one job is about that job.
        named = connection.query_params.getlist("job")
        return named[0] if len(named) == 1 else None
    return None


def bearer_of(connection: HTTPConnection) -> str | None:
    """Return the token that a request shows; None without one, or with credentials of another kind."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None

"""How a server is reached: by its port or its Unix socket, with which certificates, and with what is shown to it."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

from contracts.errors import InvalidError

from .connection import Connection

__all__ = ["async_wire", "uses_proxies", "wire"]


def wire(connection: Connection, transport: httpx.BaseTransport | None = None) -> dict[str, Any]:
    """Return what `httpx.Client` is made with."""
    if transport is None and connection.socket:
        transport = httpx.HTTPTransport(uds=str(connection.socket))
    return {**_common(connection), "transport": transport}


def async_wire(connection: Connection, transport: httpx.AsyncBaseTransport | None = None) -> dict[str, Any]:
    """Return what `httpx.AsyncClient` is made with."""
    if transport is None and connection.socket:
        transport = httpx.AsyncHTTPTransport(uds=str(connection.socket))
    return {**_common(connection), "transport": transport}


def _common(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = {"base_url": connection.base_url, "trust_env": uses_proxies(connection.base_url)}
    if connection.token:
        found["headers"] = {"Authorization": f"Bearer {connection.token.get_secret_value()}"}
    elif connection.logins:
        from .login.bearer import SavedLoginAuth
        from .login.saved import LoginBook

        found["auth"] = SavedLoginAuth(LoginBook(connection.logins), connection.url)
    if connection.ca_file or connection.certificate:
        found["verify"] = _trust(connection)
    return found


def _trust(connection: Connection) -> ssl.SSLContext:
    try:
        trust = ssl.create_default_context(cafile=connection.ca_file)
        if connection.certificate:
            trust.load_cert_chain(connection.certificate, connection.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(f"the certificates for {connection.url} cannot be used: {error}") from error
    return trust


def uses_proxies(url: str) -> bool:
    """Say whether the environment's proxies apply; a server on this machine is reached directly."""
    return httpx.URL(url).host not in {"127.0.0.1", "localhost", "::1"}

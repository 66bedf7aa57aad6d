"""Sends one request to a target that may be hostile: no redirects, no addresses of ours, no long answers."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from contracts.hooks import Address
from services.scheduler.settings import Webhooks

from .backoff import read_retry_after
from .targets import Targets

if TYPE_CHECKING:
    import httpcore

__all__ = ["SIGNATURE", "Answer", "Sender", "UnreachableError", "sign"]

SIGNATURE = "x-hub-signature-256"
"""The header of the signature, as GitHub and psik name it."""

_IDLE = 5.0
"""Seconds that a connection is kept for the next event."""
_CONNECTIONS = 64


class UnreachableError(Exception):
    """No answer came; the message says why, in words for the owner."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said, as far as it matters."""

    status: int
    retry_after: float | None = None


def sign(secret: str, body: bytes) -> str:
    """Return the signature of exactly these bytes."""
    return f"sha256={hmac.new(secret.encode('utf-8', 'surrogatepass'), body, hashlib.sha256).hexdigest()}"


class Sender:
    """Keeps the connections; makes them with the first request, for most sites never send any."""

    def __init__(self, settings: Webhooks, targets: Targets) -> None:
        self._settings = settings
        self._targets = targets
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def post(self, address: Address, headers: Iterable[tuple[str, str]], body: bytes) -> Answer:
        """Send *body* once; raises `UnreachableError`."""
        import httpcore

        self._pool = self._pool or _open_pool(self._settings, self._targets)
        try:
            async with asyncio.timeout(self._settings.timeout):
                return await self._post(self._pool, address, headers, body)
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {self._settings.timeout:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            raise UnreachableError(_words(error)) from error

    async def _post(
        self, pool: httpcore.AsyncConnectionPool, address: Address, headers: Iterable[tuple[str, str]], body: bytes
    ) -> Answer:
        import httpcore

        url = httpcore.URL(scheme=address.scheme, host=_ascii(address), port=address.port, target=address.target)
        own = [("host", _authority(address)), ("content-length", str(len(body)))]
        # A connection that is being made is closed by its own limits, and forgotten where it is cut off from outside.
        limits = {"connect": self._settings.timeout * 0.45, "pool": self._settings.timeout}
        stream = pool.stream("POST", url, headers=[*own, *headers], content=body, extensions={"timeout": limits})
        async with stream as response:
            found = Answer(response.status, read_retry_after(_header(response, b"retry-after")))
            read = 0
            async for piece in response.aiter_stream():
                read += len(piece)
                if read > self._settings.answer_limit:
                    break  # leaving the block closes the connection
            return found

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()


def _open_pool(settings: Webhooks, targets: Targets) -> httpcore.AsyncConnectionPool:
    import httpcore

    trust = ssl.create_default_context()
    if settings.ca_file:
        trust.load_verify_locations(settings.ca_file)
    return httpcore.AsyncConnectionPool(
        ssl_context=trust,
        max_connections=_CONNECTIONS,
        keepalive_expiry=_IDLE,
        network_backend=_pinned(targets),
    )


def _pinned(targets: Targets) -> httpcore.AsyncNetworkBackend:
    """Return what connects to an address that was looked at, and to no other: a name may lead elsewhere each time."""
    import httpcore

    inner = httpcore.AnyIOBackend()

    class Pinned(httpcore.AsyncNetworkBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[Any] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            # What is said inside (the name for TLS, the header) is still that of the host.
            *others, last = await _resolve(targets, host, port)
            for address in others:
                with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                    return await inner.connect_tcp(address, port, timeout, local_address, socket_options)
            return await inner.connect_tcp(last, port, timeout, local_address, socket_options)

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    return Pinned()


async def _resolve(targets: Targets, host: str, port: int) -> list[str]:
    """Return the addresses of *host*; all must be allowed, for whoever answers for the name chose them all."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"the name {host} cannot be looked up") from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    for address in addresses:
        if not targets.allows(ip_address(address)):
            raise UnreachableError(f"{host} leads to {address}, where this site sends nothing")
    return addresses


def _ascii(address: Address) -> str:
    return f"[{address.host}]" if ":" in address.host else address.host


def _authority(address: Address) -> str:
    usual = {"http": 80, "https": 443}[address.scheme] == address.port
    return _ascii(address) if usual else f"{_ascii(address)}:{address.port}"


def _header(response: httpcore.Response, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in response.headers if key.lower() == name), None)


def _words(error: Exception) -> str:
    if isinstance(error.__cause__, ssl.SSLError) or isinstance(error, ssl.SSLError):
        return "its certificate is not believed, or TLS failed"
    return f"no answer: {type(error).__name__}"

"""Serving an ASGI app, and the end of it: nobody who knocked is left without an answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import uvicorn

from .guarded import GuardedProtocol
from .settings import Server

__all__ = ["HTTP_GRACE", "serve_http"]

HTTP_GRACE = 5
"""Seconds that requests in hand have when we stop."""

_COME_AGAIN = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s"
)
_PROBLEM = b'{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","detail":"stopping"}'
_LAST_WORDS = 0.3
"""Seconds for those whose connection was just made to ask and be answered."""
_PATIENCE = 0.2
"""Seconds for one who knocked too late to say what they wanted, which must be read or they would see a reset."""


@asynccontextmanager
async def serve_http(app: object, server: Server, *, head_within: float = 20.0) -> AsyncIterator[None]:
    """Serve an ASGI app while the block runs, and give it a moment to finish at the end.

    A client has *head_within* seconds to say what it wants.
    """
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=server.host,
        port=server.port,
        log_config=None,
        http=partial(GuardedProtocol, head_within=head_within),  # type: ignore[arg-type]
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=HTTP_GRACE,
        server_header=False,
        # Who asks from where is decided by the connection; what a header says of it proves nothing.
        proxy_headers=False,
    )
    listener = _listen(server)
    door = listener.dup()  # uvicorn closes its own; who still knocks at this one is told to come again
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(http._serve(sockets=[listener]))  # noqa: SLF001 (`serve` would take our signals)
    try:
        while not http.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the HTTP server ended before it began")
            await asyncio.sleep(0.01)
        yield
    finally:
        await _let_go(http)
        http.should_exit = True
        await serving
        listener.close()
        await asyncio.to_thread(_turn_away, door)


def _listen(server: Server) -> socket.socket:
    # By ourselves, for uvicorn ends the whole process where the port is taken.
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        listener = socket.create_server((server.host, server.port), family=family, backlog=2048)
    except OSError as error:
        raise RuntimeError(f"could not listen on {server.host}:{server.port}: {error.strerror}") from error
    # Connections inherit it. asyncio sets it only on sockets that it made itself; without it each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _let_go(http: uvicorn.Server) -> None:
    """Let nobody more in, and give those who are in a moment: uvicorn drops a connection that has asked nothing yet."""
    for server in http.servers:
        server.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_WORDS):
            while http.server_state.connections:  # noqa: ASYNC110 (uvicorn tells nobody)
                await asyncio.sleep(0.01)


def _turn_away(door: socket.socket) -> None:
    """Answer those whom the kernel let in but nobody served, and close."""
    with door:
        door.setblocking(False)
        while True:
            try:
                knocking, _ = door.accept()
            except OSError:
                return
            with knocking, suppress(OSError):
                knocking.settimeout(_PATIENCE)
                knocking.recv(65536)
                knocking.sendall(_COME_AGAIN % (len(_PROBLEM), _PROBLEM))
                knocking.shutdown(socket.SHUT_WR)
                knocking.recv(65536)

"""Serving an ASGI app, and the end of it: nobody who knocked is left without an answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import uvicorn

from .guarded import GuardedProtocol
from .listening import listen_unix, make_context
from .settings import Server

__all__ = ["HTTP_GRACE", "serve_http"]

HTTP_GRACE = 5
"""Seconds that requests in hand have when we stop."""

_COME_AGAIN = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s"
)
_PROBLEM = b'{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","detail":"stopping"}'
_KEPT = 75
"""Seconds that a connection may be idle. Clients let go after 5, most of them; who lets go first must not be us, or it
would be while they ask."""
_LAST_WORDS = 0.3
"""Seconds for those whose connection was just made to ask and be answered."""
_PATIENCE = 0.2
"""Seconds for one who knocked too late to say what they wanted, which must be read or they would see a reset."""


@asynccontextmanager
async def serve_http(
    app: object,
    server: Server,
    *,
    head_within: float = 20.0,
    after: Callable[[], Awaitable[object]] | None = None,
) -> AsyncIterator[None]:
    """Serve an ASGI app while the block runs, and give it a moment to finish at the end.

    A client has *head_within* seconds to say what it wants. Whoever knocks before what comes first is done, waits.
    """
    async with AsyncExitStack() as doors:
        listeners = [(doors.enter_context(listener), tls) for listener, tls in _listen(server)]
        if after is not None:
            await after()
        for listener, tls in listeners:
            await doors.enter_async_context(_serve(app, listener, tls, head_within))
        yield
    if server.socket:
        server.socket.unlink(missing_ok=True)


@asynccontextmanager
async def _serve(
    app: object, listener: socket.socket, tls: ssl.SSLContext | None, head_within: float
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_config=None,
        http=partial(GuardedProtocol, head_within=head_within),  # type: ignore[arg-type]
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=HTTP_GRACE,
        timeout_keep_alive=_KEPT,
        server_header=False,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
        # Who asks from where is decided by the connection; what a header says of it proves nothing.
        proxy_headers=False,
    )
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
        await asyncio.to_thread(_turn_away, door, silent=tls is not None)


def _listen(server: Server) -> Iterator[tuple[socket.socket, ssl.SSLContext | None]]:
    # By ourselves, for uvicorn ends the whole process where the port is taken.
    tls = make_context(server.tls) if server.tls else None
    yield _listen_tcp(server), tls
    if server.socket:
        yield listen_unix(server.socket), None


def _listen_tcp(server: Server) -> socket.socket:
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


def _turn_away(door: socket.socket, *, silent: bool) -> None:
    """Answer those whom the kernel let in but nobody served, and close; *silent* where they would not understand."""
    with door:
        door.setblocking(False)
        while True:
            try:
                knocking, _ = door.accept()
            except OSError:
                return
            with knocking, suppress(OSError):
                if silent:
                    continue
                knocking.settimeout(_PATIENCE)
                knocking.recv(65536)
                knocking.sendall(_COME_AGAIN % (len(_PROBLEM), _PROBLEM))
                knocking.shutdown(socket.SHUT_WR)
                knocking.recv(65536)

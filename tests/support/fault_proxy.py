"""TCP links that can be cut, hung, slowed and made to lie; they run in a thread of their own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

__all__ = ["FaultProxy", "Link", "Mode", "run_proxy"]

_PIECE = 65_536
_RESET = struct.pack("ii", 1, 0)
"""Linger for no time: a close is a reset, as from a host that knows nothing of the connection."""

_T = TypeVar("_T")


class Mode(StrEnum):
    """What a link does to bytes."""

    OPEN = "open"
    CUT = "cut"
    """Connections are reset, and new ones too."""
    HANG = "hang"
    """Connections stay and new ones are taken, but nothing comes through until the link is open again."""
    SLOW = "slow"
    """Each piece comes late."""


@dataclass(eq=False)
class Link:
    """One way from a part to a server. Tests change it through `FaultProxy`."""

    name: str
    target: int
    port: int = 0
    mode: Mode = Mode.OPEN
    delay: float = 0.0
    lie: tuple[bytes, bytes] | None = None
    """Bytes that come back from the server, and what is put in their place; both of one length."""
    flows: asyncio.Event = field(default_factory=asyncio.Event)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    taken: int = 0
    """Connections that were taken so far."""


class FaultProxy:
    """All links of a stack."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._servers: list[asyncio.Server] = []

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def stop(self) -> None:
        """Reset everything and end the thread."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def add(self, name: str, target: int) -> int:
        """Open a way to a port of this machine; returns where it listens."""
        link = self.links[name] = Link(name, target)
        return self._call(self._listen(link))

    def set(self, name: str, mode: Mode, *, delay: float = 0.1) -> None:
        """Change what a link does, for connections that are there too."""
        self._call(self._set(self.links[name], mode, delay))

    def lie(self, name: str, true: bytes, false: bytes) -> None:
        """Have a link put *false* in the place of *true* in what comes back from the server."""
        assert len(true) == len(false)
        self.links[name].lie = (true, false)

    def aim(self, name: str, target: int) -> None:
        """Lead new connections elsewhere, as a load balancer does; those that are there stay."""
        self.links[name].target = target

    def reset(self, name: str) -> None:
        """Reset the connections that a link holds; it does what it did to new ones."""
        self._call(self._reset(self.links[name]))

    def heal(self) -> None:
        """Open all links."""
        for link in self.links.values():
            link.lie = None
            if link.mode is not Mode.OPEN:
                self.set(link.name, Mode.OPEN)

    def _call(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for link in self.links.values():
            await self._reset(link)
            for task in link.tasks:
                task.cancel()
            await asyncio.gather(*link.tasks, return_exceptions=True)

    async def _listen(self, link: Link) -> int:
        link.flows.set()

        async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            link.tasks.add(task)
            try:
                await self._serve(link, reader, writer)
            except asyncio.CancelledError:
                pass  # the proxy stops, and asyncio would say so in a log
            finally:
                link.tasks.discard(task)
                _abort(writer)

        server = await asyncio.start_server(take, "127.0.0.1", 0, limit=_PIECE)
        self._servers.append(server)
        link.port = server.sockets[0].getsockname()[1]
        return link.port

    async def _set(self, link: Link, mode: Mode, delay: float) -> None:
        link.mode, link.delay = mode, delay if mode is Mode.SLOW else 0.0
        if mode is Mode.HANG:
            link.flows.clear()
        else:
            link.flows.set()
        if mode is Mode.CUT:
            await self._reset(link)

    async def _reset(self, link: Link) -> None:
        for writer in list(link.writers):
            _abort(writer)

    async def _serve(self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link.taken += 1
        link.writers.add(writer)
        try:
            await link.flows.wait()
            if link.mode is Mode.CUT:
                return
            there, back = await asyncio.open_connection("127.0.0.1", link.target, limit=_PIECE)
        except OSError:
            return
        finally:
            link.writers.discard(writer)
        both = {writer, back}
        link.writers |= both
        try:
            await asyncio.gather(self._pump(link, reader, back, lies=False), self._pump(link, there, writer, lies=True))
        finally:
            link.writers -= both
            _abort(back)

    async def _pump(self, link: Link, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, lies: bool) -> None:
        with suppress(OSError):
            while piece := await source.read(_PIECE):
                await link.flows.wait()
                if link.delay:
                    await asyncio.sleep(link.delay)
                if lies and link.lie:
                    piece = piece.replace(*link.lie)
                sink.write(piece)
                await sink.drain()
            with suppress(OSError, RuntimeError):
                sink.write_eof()
            return
        # One side is gone: the other one hears it too.
        _abort(sink)


def _abort(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


@contextmanager
def run_proxy() -> Iterator[FaultProxy]:
    """Run a proxy without links until the block ends."""
    proxy = FaultProxy()
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()

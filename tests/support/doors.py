"""Doors to servers that listen on loopback, at an address that containers and pods reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread

from .far_network import lead

__all__ = ["Doors", "open_doors"]


class Doors:
    """Each has a port of its own from the first; what lies behind it may be said later."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._behind: dict[str, int] = {}
        self._ports: dict[str, int] = {}

    def at(self, name: str) -> str:
        """Return where a door is: `address:port`."""
        return f"{self.address}:{self._ports[name]}"

    def lead(self, name: str, port: int) -> None:
        """Have a door lead to a port of this machine."""
        self._behind[name] = port

    async def serve(self, names: tuple[str, ...], ready: Future[asyncio.Event]) -> None:
        """Stand open until the event is set."""
        over = asyncio.Event()
        servers = []
        for name in names:

            async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str = name) -> None:
                await lead(reader, writer, "127.0.0.1", self._behind.get(name, 0))

            servers.append(await asyncio.start_server(take, self.address, 0))
            self._ports[name] = servers[-1].sockets[0].getsockname()[1]
        ready.set_result(over)
        await over.wait()
        for server in servers:
            server.close()


@contextmanager
def open_doors(address: str, *names: str) -> Iterator[Doors]:
    """Open doors at an address, in a thread of their own."""
    doors, ready = Doors(address), Future[asyncio.Event]()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_until_complete, args=(doors.serve(names, ready),), name="doors")
    thread.start()
    over = ready.result(timeout=20)
    try:
        yield doors
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()

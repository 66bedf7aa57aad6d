"""A network of its own for a process: it reaches ports of this machine by one cable, which can be pulled."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["FarNetwork", "forwarding", "forwarding_there", "lead", "open_far_network"]

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class FarNetwork:
    """A network namespace, and the cable to it."""

    name: str
    here: str
    """Our address on the cable."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """Return what goes before a command that is to run there."""
        return "ip", "netns", "exec", self.name

    def pull(self) -> None:
        """Pull the cable: packets get lost, and nobody is told."""
        _ip("link", "set", self.name, "down")

    def plug(self) -> None:
        """Put it back."""
        _ip("link", "set", self.name, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@contextmanager
def open_far_network() -> Iterator[FarNetwork]:
    """Make one; the test is skipped where that is not allowed."""
    name, third = f"far{os.getpid() % 100_000}", os.getpid() % 250
    near, far = f"10.213.{third}.1", f"10.213.{third}.2"
    inside = ("netns", "exec", name, "ip")
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no network namespace can be made here: {error}")
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{near}/24", "dev", name)
        _ip("link", "set", name, "up")
        _ip(*inside, "addr", "add", f"{far}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip(*inside, "link", "set", device, "up")
        yield FarNetwork(name, near)
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", name)
        _ip("netns", "del", name)


@asynccontextmanager
async def forwarding(listen: str, port: int, host: str, target: int) -> AsyncIterator[int]:
    """Lead connections to a port of one address to a port of another; gives the port that is listened on."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await lead(reader, writer, host, target)

    server = await asyncio.start_server(take, listen, port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, target: int) -> None:
    """Lead one connection on."""
    with suppress(OSError):
        there, back = await asyncio.open_connection(host, target)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
    writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()


@contextmanager
def forwarding_there(network: FarNetwork, port: int, target: int) -> Iterator[None]:
    """Lead connections to a port of the far machine's own address to a port of ours."""
    words = [sys.executable, "-m", "tests.support.far_network", str(port), network.here, str(target)]
    process = subprocess.Popen([*network.prefix, *words], cwd=_ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


async def _main(port: int, host: str, target: int) -> None:
    async with forwarding("127.0.0.1", port, host, target):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

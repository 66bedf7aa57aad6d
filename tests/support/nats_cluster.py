"""Three NATS servers that are one, of which a test may kill any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import nats
from nats.aio.client import Client

from deploy.local import servers
from services.chassis.settings import NatsSettings

from .servers import free_ports

__all__ = ["NatsCluster", "run_nats_cluster"]

_READY_WITHIN = 30.0


class NatsCluster:
    """All three; each has a port, by which it is told from the others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ports = free_ports(6)
        self.ports, routes = ports[:3], ports[3:]
        peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self._specs = {
            port: _spec(folder / f"nats{port}", port, f"listen: 127.0.0.1:{route}, routes: [{peers}]")
            for port, route in zip(self.ports, routes, strict=True)
        }
        self._running: dict[int, asyncio.subprocess.Process] = {}

    def settings(self, number: int) -> NatsSettings:
        """Return how one connects to the first, second or third."""
        return NatsSettings(url=f"nats://127.0.0.1:{self.ports[number]}", replicas=3)

    async def start(self, port: int) -> None:
        """Start one, maybe again."""
        self._running[port] = await servers.start(self._specs[port], self._folder / f"{port}.log")

    async def kill(self, port: int) -> None:
        """Kill one, as a power cut would."""
        process = self._running.pop(port)
        process.kill()
        await process.wait()

    async def leader(self, place: str, *, but: int = 0) -> int:
        """Return which of them leads a stream, or `stream.consumer`, once one does that is not *but*."""
        stream, _, consumer = place.partition(".")
        async with self.connected() as client, asyncio.timeout(_READY_WITHIN):
            jetstream = client.jetstream(timeout=1)
            while True:
                with suppress(nats.errors.Error):
                    look = jetstream.consumer_info(stream, consumer) if consumer else jetstream.stream_info(stream)
                    found = (await look).cluster
                    if found and found.leader and int(found.leader) != but:
                        return int(found.leader)
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Connect to one that runs."""
        client = await nats.connect(f"nats://127.0.0.1:{next(iter(self._running))}")
        try:
            yield client
        finally:
            await client.close()

    async def until_ready(self) -> None:
        """Wait until they have found each other."""
        async with self.connected() as client, asyncio.timeout(_READY_WITHIN):
            while True:
                try:
                    await client.jetstream(timeout=1).account_info()
                except (nats.errors.Error, TimeoutError):
                    await asyncio.sleep(0.05)
                else:
                    return


def _spec(folder: Path, port: int, cluster: str) -> servers.ServerSpec:
    """Describe one that is ready as soon as it listens: alone it leads nothing."""
    spec = servers.nats_server(folder, port=port, monitor_port=port + 10_000)
    with (folder / "nats.conf").open("a") as config:
        config.write(f'server_name: "{port}"\ncluster {{ name: shunter, {cluster} }}\n')
    return replace(spec, ready_url=spec.ready_url.replace("/healthz?js-enabled-only=false", "/varz"))


@asynccontextmanager
async def run_nats_cluster(folder: Path) -> AsyncIterator[NatsCluster]:
    """Run all three."""
    cluster = NatsCluster(folder)
    async with AsyncExitStack() as stack:
        for port in cluster.ports:
            await cluster.start(port)
            stack.push_async_callback(_kill_if_running, cluster, port)
        await cluster.until_ready()
        yield cluster


async def _kill_if_running(cluster: NatsCluster, port: int) -> None:
    if port in cluster._running:
        await cluster.kill(port)

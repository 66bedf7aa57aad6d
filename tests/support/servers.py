"""Real servers for tests, on free ports, one process each."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import servers
from services.chassis.settings import NatsSettings

__all__ = ["S3", "free_ports", "run_nats", "run_s3", "run_temporal"]


@dataclass(frozen=True, slots=True)
class S3:
    """Where the store listens and who may use it."""

    endpoint: str
    access_key: str
    secret_key: str


def free_ports(count: int, *, at: int = 0, below: int = 22_000) -> list[int]:
    """Return free ports below the ephemeral range, with their neighbours 10000 above free too.

    Those that are taken up only later are looked for *at* a place where nobody else looks.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in range(at or 12_000 + os.getpid() * 1009 % 8000, below):
            try:
                for number in (port, port + 10_000):
                    listener = held.enter_context(socket.socket())
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("127.0.0.1", number))
            except OSError:
                continue
            found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError("no free ports")


@asynccontextmanager
async def _run(spec: servers.ServerSpec, folder: Path) -> AsyncIterator[None]:
    process = await servers.start(spec, folder / f"{spec.name}.log")
    try:
        yield
    finally:
        await servers.stop(spec, process)


@asynccontextmanager
async def run_nats(folder: Path, *, issuer: str = "") -> AsyncIterator[NatsSettings]:
    """Run nats-server; the settings reach it. With an *issuer* all others are let in by what that signs.

    Where tests use containers, it is an account of its own on a cluster of three, unless an issuer is wanted.
    """
    from .stores import stores

    if (found := stores()) and not issuer:
        async with found.nats() as settings:
            yield settings
        return
    port, monitor = free_ports(2)
    access = {"user": "shunter", "password": "test-password", "issuer": issuer} if issuer else {}
    async with _run(servers.nats_server(folder / "nats", port=port, monitor_port=monitor, **access), folder):
        ours = {name: access[name] for name in ("user", "password") if name in access}
        yield NatsSettings.model_validate({"url": f"nats://127.0.0.1:{port}", **ours})


@asynccontextmanager
async def run_s3(folder: Path) -> AsyncIterator[S3]:
    """Run the S3 server, or give the one in a container where tests use those."""
    from .stores import stores

    if found := stores():
        yield await found.s3()
        return
    port, *spare = free_ports(5)
    spec = servers.s3_server(
        folder / "s3", port=port, access_key="admin", secret_key="test-secret-key", spare=tuple(spare)
    )
    async with _run(spec, folder):
        yield S3(f"127.0.0.1:{port}", "admin", "test-secret-key")


@asynccontextmanager
async def run_temporal(folder: Path) -> AsyncIterator[str]:
    """Run Temporal's development server; the address reaches its frontend."""
    (port,) = free_ports(1)
    async with _run(servers.temporal_server(folder / "temporal", port=port, http_port=port + 10_000), folder):
        yield f"127.0.0.1:{port}"

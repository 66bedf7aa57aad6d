"""A PostgreSQL of the test's own, where the machine has one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from .servers import free_ports
from .stores import stores

__all__ = ["Postgres", "needs_postgres", "run_postgres", "run_postgres_server", "stop_postgres"]


def _find_initdb() -> str | None:
    """Return the path of `initdb`, or None where PostgreSQL's server is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return str(debian[-1]) if debian else shutil.which("initdb")


async def _call(*argv: str) -> None:
    # The server refuses to run as root; its tools want to be able to read where they stand.
    user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups") if os.geteuid() == 0 else ()
    child = await asyncio.create_subprocess_exec(
        *user, *argv, cwd="/", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    if await child.wait() != 0:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}")


needs_postgres = pytest.mark.skipif(_find_initdb() is None, reason="PostgreSQL's server is not installed here")
"""Marks a test that runs one."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that can be stopped and started again on its data."""

    control: str
    data: str
    options: str
    log: str
    url: str

    async def start(self) -> None:
        """Start it; returns when it takes connections."""
        await _call(self.control, "-D", self.data, "-w", "-l", self.log, "-o", self.options, "start")

    async def stop(self, mode: str = "immediate") -> None:
        """Stop it: `immediate` is a crash, `fast` throws everybody out."""
        await _call(self.control, "-D", self.data, "-m", mode, "-w", "stop")


async def _make(*settings: str, careful: bool = False) -> Postgres:
    """Make the data of a server that is not started yet, in a folder of its own."""
    initdb = _find_initdb()
    if initdb is None:
        raise RuntimeError("initdb is not installed")
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="shunter-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = str(folder / "data")
    await _call(initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    careless = () if careful else ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
    options = [
        f"-p {port} -k {folder}",
        *(f"-c {one}" for one in ("listen_addresses=127.0.0.1", *careless, *settings)),
    ]
    return Postgres(
        control=str(Path(initdb).with_name("pg_ctl")),
        data=data,
        options=" ".join(options),
        log=str(folder / "log"),
        url=f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres",
    )


async def _remove(server: Postgres) -> None:
    await server.stop()
    shutil.rmtree(Path(server.data).parent)


@asynccontextmanager
async def run_postgres_server(*settings: str, careful: bool = False) -> AsyncIterator[Postgres]:
    """Run PostgreSQL with *settings* such as `max_connections=20`; unless *careful*, a crash may lose commits."""
    server = await _make(*settings, careful=careful)
    await server.start()
    try:
        yield server
    finally:
        await _remove(server)


_shared: list[Postgres] = []


async def stop_postgres() -> None:
    """Stop the server that the tests of this process shared."""
    while _shared:
        await _remove(_shared.pop())


@asynccontextmanager
async def run_postgres() -> AsyncIterator[str]:
    """Give a database of its own, without any care for the disk, on a server that all tests of this process share.

    Where tests use containers, it is on the one there.
    """
    name = f"t{uuid4().hex}"
    if found := stores():
        url = found.database_url(Path(name), "postgres")
        await found.bring_empty(url)
        yield url
        return
    if not _shared:
        server = await _make("max_connections=300")
        await server.start()
        _shared.append(server)
    url = _shared[0].url
    await _say(url, f"CREATE DATABASE {name}")
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        await _say(url, f"DROP DATABASE {name} WITH (FORCE)")


async def _say(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

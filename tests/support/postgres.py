"""A PostgreSQL of the test's own, where the machine has one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from .servers import free_ports

__all__ = ["find_initdb", "run_postgres"]


def find_initdb() -> str | None:
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


@asynccontextmanager
async def run_postgres() -> AsyncIterator[str]:
    """Run PostgreSQL without any care for the disk; the URL reaches its first database."""
    initdb = find_initdb()
    if initdb is None:
        raise RuntimeError("initdb is not installed")
    control = str(Path(initdb).with_name("pg_ctl"))
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp(prefix="shunter-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data = str(folder / "data")
        await _call(initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        careless = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} {careless}"
        await _call(control, "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}/postgres"
        finally:
            await _call(control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)

"""The stores of a production site, in containers built from what the machine has: NATS thrice, PostgreSQL, S3.

`make test-containers` has the tests of services use them (`--stores=containers`); else each test has small ones of its
own.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import sysconfig
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import nats
import pytest

from services.chassis.migrations import ensure_schema
from services.chassis.settings import NatsSettings

from .docker_engine import Dockerd, EngineAbsentError, run_dockerd
from .docker_images import make_server_image
from .servers import S3, free_ports

__all__ = ["Stores", "stores", "use_containers"]

_ACCOUNTS = 1500
"""Accounts of NATS: each test has one, with streams that no other sees. All of them must fit into one variable."""
_IMAGE = "shunter-test/servers:1"
_POSTGRES = Path("/usr/lib/postgresql")
_READY_WITHIN = 60.0


@dataclass
class Stores:
    """All of them, started when the first test needs one."""

    _open: ExitStack = field(default_factory=ExitStack)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _engine: Dockerd | None = None
    _nats: tuple[int, ...] = ()
    _postgres: int = 0
    _s3: S3 | None = None
    _templates: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Start the engine; raises `EngineAbsentError` where none can be."""
        self._engine = self._open.enter_context(run_dockerd())
        programs = {f"usr/bin/{name}": Path(sysconfig.get_path("scripts"), name) for name in ("nats-server", "weed")}
        make_server_image(self._engine.client(), _IMAGE, programs, _POSTGRES)

    def close(self) -> None:
        """Stop all of it."""
        self._open.close()

    def _run(self, name: str, *command: str, env: dict[str, str] | None = None, user: str = "0") -> None:
        assert self._engine
        os.environ |= {
            "DOCKER_HOST": self._engine.url,
            "TESTCONTAINERS_RYUK_DISABLED": "true",
            "TESTCONTAINERS_CONNECTION_MODE": "docker_host",
            "TESTCONTAINERS_HOST_OVERRIDE": "127.0.0.1",
        }
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(_IMAGE).with_name(f"{name}-{self._engine.word}").with_command(list(command))
        container.with_kwargs(network_mode="host", user=user)
        for key, value in (env or {}).items():
            container.with_env(key, value)
        self._open.callback(container.stop)
        container.start()

    # --- NATS ---------------------------------------------------------------------------------------------------

    def _start_nats(self) -> None:
        clients, routes = free_ports(3), free_ports(6)[3:]
        accounts = "\n".join(
            f"T{n}:{{jetstream:enabled,users:[{{user:t{n},password:t{n}}}]}}" for n in range(_ACCOUNTS)
        )
        peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        for number, (client, route) in enumerate(zip(clients, routes, strict=True)):
            config = (
                f"server_name: n{number}\nlisten: 127.0.0.1:{client}\nmax_payload: 8MB\naccounts {{\n{accounts}\n}}\n"
                f"jetstream {{ store_dir: /tmp/js, max_file_store: 16GB, max_memory_store: 1GB }}\n"
                f"cluster {{ name: shunter, listen: 127.0.0.1:{route}, routes: [{peers}] }}\n"
            )
            script = 'printf "%s" "$CONFIG" >/tmp/nats.conf && exec nats-server -c /tmp/nats.conf'
            self._run_script(f"nats{number}", script, CONFIG=config)
        self._nats = tuple(clients)

    def _run_script(self, name: str, script: str, *, user: str = "0", **env: str) -> None:
        self._run(name, "/bin/sh", "-c", script, env=env, user=user)

    @asynccontextmanager
    async def nats(self) -> AsyncIterator[NatsSettings]:
        """Give an account of its own on the cluster; its streams are on all three servers."""
        if not self._nats:
            await asyncio.to_thread(self._start_nats)
        number = next(self._numbers)
        # Who we are stands in the URL: some tests hand on nothing else.
        url = f"nats://t{number}:t{number}@127.0.0.1:{self._nats[0]}"
        client = await _until(lambda: nats.connect(url, allow_reconnect=False, error_cb=_pass_over))
        jetstream = client.jetstream()
        try:
            await _until(jetstream.account_info)
            yield NatsSettings.model_validate({"url": url, "replicas": 3})
            for stream in await jetstream.streams_info():
                await jetstream.delete_stream(stream.config.name or "")
        finally:
            await client.close()

    # --- S3 -----------------------------------------------------------------------------------------------------

    async def s3(self) -> S3:
        """Return the object server."""
        if self._s3 is None:
            port, master, volume, filer, admin = free_ports(5)
            script = (
                f"mkdir -p /tmp/s3 && cd /tmp/s3 && exec weed mini -dir=/tmp/s3 -ip=127.0.0.1 -ip.bind=127.0.0.1"
                f" -s3.port={port} -master.port={master} -volume.port={volume} -filer.port={filer} -admin.port={admin}"
                " -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0"
            )
            keys = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "test-secret-key"}
            await asyncio.to_thread(self._run_script, "s3", script, **keys)
            self._s3 = S3(f"127.0.0.1:{port}", "admin", "test-secret-key")
            await _until(lambda: asyncio.open_connection("127.0.0.1", port))
        return self._s3

    # --- PostgreSQL ---------------------------------------------------------------------------------------------

    def database_url(self, folder: Path, service: str) -> str:
        """Return where a service has its tables; the same folder is the same database."""
        if not self._postgres:
            (self._postgres,) = free_ports(1)
            script = (
                "b=$(echo /usr/lib/postgresql/*/bin) && $b/initdb -D /tmp/pg -U postgres -A trust -E UTF8"
                " --locale=C --no-sync >/dev/null && exec $b/postgres -D /tmp/pg -k /tmp -c max_connections=400"
                f" -c listen_addresses=127.0.0.1 -c port={self._postgres} -c fsync=off -c synchronous_commit=off"
            )
            self._run_script("postgres", script, user="999")
        name = hashlib.sha256(f"{folder.absolute()} {service}".encode()).hexdigest()[:24]
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self._postgres}/t{name}"

    async def bring_empty(self, url: str) -> None:
        """Make the database of a URL, unless it is there."""
        place, _, name = url.rpartition("/")
        if name.startswith("t"):
            await self._create(place, f'CREATE DATABASE "{name}"')

    async def bring_schema(self, service: str, url: str) -> None:
        """Make the database of a URL, unless it is there: a copy of one that was migrated once."""
        place, _, name = url.rpartition("/")
        template = f"template_{service}"
        if service not in self._templates:
            await self._create(place, f'CREATE DATABASE "{template}"')
            await ensure_schema(service, f"{place}/{template}")
            self._templates.add(service)
        await self._create(place, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')

    async def _create(self, place: str, statement: str) -> None:
        connect = f"{place.replace('+asyncpg', '')}/postgres"
        connection = await _until(lambda: asyncpg.connect(connect))
        try:
            await connection.execute(statement)
        except asyncpg.DuplicateDatabaseError:
            return
        finally:
            await connection.close()


_chosen: list[Stores] = []


def stores() -> Stores | None:
    """Return the stores in containers, if the tests are to use them."""
    return _chosen[0] if _chosen else None


def use_containers(config: pytest.Config) -> str:
    """Have the tests use containers; returns why that cannot be, or nothing."""
    found = Stores()
    try:
        found.start()
    except EngineAbsentError as error:
        return str(error)
    _chosen.append(found)
    config.add_cleanup(found.close)
    return ""


async def _pass_over(_error: Exception) -> None:
    """Say nothing: whoever waits for a server sees for himself."""


async def _until(call: Callable[[], Any]) -> Any:
    """Return what a call gives once it gives something."""
    deadline = asyncio.get_running_loop().time() + _READY_WITHIN
    while True:
        try:
            return await call()
        except (nats.errors.Error, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)

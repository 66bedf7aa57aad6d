"""What a test process has of the stores in containers: accounts of NATS, databases, the object server."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.js import JetStreamContext

from services.chassis.migrations import ensure_schema
from services.chassis.settings import NatsSettings

from .servers import S3
from .store_containers import ACCOUNTS, POSTGRES, Places

__all__ = ["Stores", "choose", "chosen", "stores"]

_READY_WITHIN = 60.0
_DRIVER = "+asyncpg"


class Stores:
    """All of them; *share* (number, of how many) tells which accounts of NATS are this process's."""

    def __init__(self, places: Places, share: tuple[int, int] = (0, 1)) -> None:
        self._places = places
        self._accounts = deque(range(share[0], ACCOUNTS, share[1]))
        self._made: list[str] = []
        self.active = False
        """Whether the test that runs now uses them."""
        self.uses = 0
        """How often one of them was asked for."""

    @property
    def has_made(self) -> bool:
        """Whether there are databases to be dropped."""
        return bool(self._made)

    async def _ready(self) -> None:
        """Wait until they are started, which goes on while tests run that need none."""
        self.uses += 1
        said = Path(self._places.said)
        async with asyncio.timeout(_READY_WITHIN):
            while not await asyncio.to_thread(said.exists):  # noqa: ASYNC110 (another process makes it)
                await asyncio.sleep(0.1)
        if why := await asyncio.to_thread(said.read_text):
            raise RuntimeError(f"the stores could not be started: {why}")

    # --- NATS ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def nats(self) -> AsyncIterator[NatsSettings]:
        """Give an account of its own on the cluster; its streams are on all three servers."""
        await self._ready()
        number = self._accounts.popleft()
        # Who we are stands in the URL: some tests hand on nothing else.
        url = f"nats://t{number}:t{number}@127.0.0.1:{self._places.nats[number % len(self._places.nats)]}"
        client = await _until(lambda: nats.connect(url, allow_reconnect=False, error_cb=_pass_over))
        try:
            await _until(client.jetstream().account_info)
            yield NatsSettings.model_validate({"url": url, "replicas": 3})
        finally:
            await _empty(client.jetstream(timeout=30))
            await client.close()
            self._accounts.append(number)

    # --- S3 -----------------------------------------------------------------------------------------------------

    async def s3(self) -> S3:
        """Return the object server."""
        await self._ready()
        host, _, port = self._places.s3.endpoint.partition(":")
        _, writer = await _until(lambda: asyncio.open_connection(host, int(port)))
        writer.close()
        return self._places.s3

    # --- PostgreSQL ---------------------------------------------------------------------------------------------

    def database_url(self, folder: Path, service: str) -> str:
        """Return where a service has its tables; the same folder is the same database."""
        self.uses += 1
        name = hashlib.sha256(f"{folder.absolute()} {service}".encode()).hexdigest()[:24]
        return f"postgresql{_DRIVER}://postgres@127.0.0.1:{self._places.postgres}/t{name}"

    async def bring_empty(self, url: str) -> None:
        """Make the database of a URL, unless it is there."""
        await self._ready()
        await self._create(url, "")

    async def bring_schema(self, service: str, url: str) -> None:
        """Make the database of a URL, unless it is there: a copy of one that was migrated once."""
        await self._ready()
        template = f"template_{service}"
        async with self._administrator() as connection:
            # One of all processes makes the template; the others wait for it.
            await connection.execute("SELECT pg_advisory_lock(hashtext($1))", template)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", template):
                await connection.execute(f'CREATE DATABASE "{template}"')
                await ensure_schema(service, f"{url.rpartition('/')[0]}/{template}")
        await self._create(url, f'TEMPLATE "{template}"')

    async def lose(self, url: str) -> None:
        """Drop the database of a URL with all that is in it, whoever uses it."""
        async with self._administrator() as connection:
            await connection.execute(f'DROP DATABASE IF EXISTS "{_name(url)}" WITH (FORCE)')

    def dump(self, url: str) -> bytes:
        """Return all that is in a database, for `restore`; it may be in use."""
        return _tool("pg_dump", "--format=custom", "--compress=0", f"--dbname={_plain(url)}")

    async def restore(self, url: str, dumped: bytes) -> None:
        """Make a database what it was."""
        await self.lose(url)
        await self._create(url, "")
        await asyncio.to_thread(_tool, "pg_restore", f"--dbname={_plain(url)}", said=dumped)

    async def tidy(self) -> None:
        """Drop the databases that this process made."""
        for url in self._made:
            await self.lose(url)
        self._made.clear()

    async def _create(self, url: str, like: str) -> None:
        async with self._administrator() as connection:
            with suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{_name(url)}" {like}')
                self._made.append(url)

    @asynccontextmanager
    async def _administrator(self) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        url = f"postgresql://postgres@127.0.0.1:{self._places.postgres}/postgres"
        connection = await _until(lambda: asyncpg.connect(url))
        try:
            yield connection
        finally:
            await connection.close()


_chosen: list[Stores] = []


def choose(found: Stores) -> None:
    """Have the tests of this process use stores in containers where they are active."""
    _chosen.append(found)


def chosen() -> Stores | None:
    """Return the stores in containers, if this run uses them at all."""
    return _chosen[0] if _chosen else None


def stores() -> Stores | None:
    """Return the stores in containers, if the test that runs is to use them."""
    return _chosen[0] if _chosen and _chosen[0].active else None


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _plain(url: str) -> str:
    return url.replace(_DRIVER, "")


def _tool(name: str, *words: str, said: bytes | None = None) -> bytes:
    program = max(POSTGRES.glob(f"*/bin/{name}"))
    return subprocess.run([program, *words], input=said, capture_output=True, check=True).stdout


async def _empty(jetstream: JetStreamContext) -> None:
    names = [stream.config.name or "" for stream in await jetstream.streams_info()]
    await asyncio.gather(*map(jetstream.delete_stream, names))


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

"""What many tests of services share; a module that needs another kind of one has a fixture of its own by that name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from services.storage.settings import StorageSettings
from tests.support import scheduler, storage
from tests.support.clusters import Rig, open_rig
from tests.support.fixtures import bus, pilots, runner, world
from tests.support.gateway import Site, Stand, run_stand
from tests.support.runner import FakeRunner
from tests.support.servers import S3, run_nats, run_s3
from tests.support.stores import chosen

__all__ = ["bus", "pilots", "runner", "world"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3]:
    """One S3 server for all tests of services; each uses a bucket or owner of its own."""
    if found := chosen():
        yield await found.s3()
        return
    async with run_s3(tmp_path_factory.mktemp("s3")) as own:
        yield own


@pytest_asyncio.fixture
async def user(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> AsyncIterator[scheduler.User]:
    """Ada, before a scheduler with the settings of the module and a runner that pretends."""
    async with scheduler.run_scheduler(settings):
        yield scheduler.User(bus)


@pytest_asyncio.fixture
async def rig(tmp_path: Path, nats: NatsSettings) -> AsyncIterator[Rig]:
    """A cluster in memory, its table, and its keeper, which is at work when a test says so."""
    async with open_rig(tmp_path, nats) as found:
        yield found


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    """Say what a module wants otherwise of its `stand` or of its `stored`."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stand(tmp_path_factory: pytest.TempPathFactory, special: dict[str, Any]) -> AsyncIterator[Stand]:
    """A gateway for all tests of the module, and what is behind it."""
    async with run_stand(tmp_path_factory.mktemp("stand"), **special) as found:
        yield found


@pytest.fixture
def site(stand: Stand) -> Site:
    """What is behind the gateway, as if nothing had been asked of it."""
    return stand.site.forget()


@pytest.fixture
def client(stand: Stand) -> httpx.AsyncClient:
    """A client of the gateway, without credentials."""
    return stand.client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stored(
    tmp_path_factory: pytest.TempPathFactory, s3: S3, special: dict[str, Any]
) -> AsyncIterator[StorageSettings]:
    """The settings of one storage for all tests of the module; each has a user of its own."""
    folder = tmp_path_factory.mktemp("storage")
    async with run_nats(folder) as nats:
        yield storage.storage_settings(folder, nats, s3, **special)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage_bus(stored: StorageSettings) -> AsyncIterator[Bus]:
    """That storage, while it runs."""
    async with storage.run_storage(stored) as found:
        yield found


@pytest.fixture
def ada(storage_bus: Bus) -> storage.User:
    """Somebody new with files there."""
    return storage.User(storage_bus)

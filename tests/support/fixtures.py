"""Fixtures that the conftests of several folders take in: whoever asks, and a runner, each on the test's own NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings

from .chassis import open_bus
from .cluster_pilots import FakePilots
from .engines import WORLDS, World
from .runner import FakeRunner

__all__ = ["bus", "pilots", "runner", "world"]


@pytest_asyncio.fixture
async def bus(nats: NatsSettings) -> AsyncIterator[Bus]:
    """A bus to speak with services."""
    async with open_bus(nats, "test") as connected:
        yield connected


@pytest_asyncio.fixture
async def runner(nats: NatsSettings, bus: Bus) -> AsyncIterator[FakeRunner]:
    """A runner that pretends; it comes after the bus, and goes before it."""
    runner = FakeRunner(nats)
    await runner.start()
    yield runner
    await runner.stop()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """What an engine in memory has, whichever process of the test asks it."""
    return WORLDS.setdefault(str(tmp_path), World())


@pytest_asyncio.fixture
async def pilots(nats: NatsSettings, bus: Bus, world: World) -> AsyncIterator[FakePilots]:
    """Pilots that pretend, in that world; they come after the bus, which sees to the streams."""
    pilots = FakePilots(nats, world=world)
    await pilots.start()
    yield pilots
    await pilots.stop()

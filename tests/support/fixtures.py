"""Fixtures that the conftests of several folders take in: whoever asks, and a runner, each on the test's own NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings

from .chassis import open_bus
from .runner import FakeRunner

__all__ = ["bus", "runner"]


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

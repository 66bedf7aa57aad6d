"""The keeper of a cluster: what waits is started once, what ends is told, what nobody wants is stopped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Observation
from services.scheduler.natives.words import JobState
from tests.support.clusters import Rig, native_of, open_rig, task


@pytest_asyncio.fixture
async def rig(tmp_path: Path, nats: NatsSettings) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, nats) as found:
        yield found


async def test_an_attempt_goes_its_whole_way(rig: Rig) -> None:
    one = task()
    await rig.put(one)
    assert await rig.backend.observe(native_of(one)) is Observation.QUEUED
    await rig.starter.start()
    name = await rig.native_for(one)
    assert rig.world.started == {name: 1}
    given = await rig.ask(name)
    assert given == one
    assert await rig.backend.observe(native_of(one)) is Observation.RUNNING
    await rig.finish(one)
    rig.world.end(name)
    await rig.looker.look()
    assert (await rig.natives())[name]["state"] == JobState.GONE
    assert rig.world.seen == {}
    assert await rig.told() == []
    assert await rig.backend.observe(native_of(one)) is Observation.ENDED

"""Small jobs that share a native job, and bundles of arrays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from contracts.model import now
from contracts.runs import RunBundle
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Cancelled
from services.scheduler.natives import keeper
from services.scheduler.natives.words import AttemptState
from services.scheduler.tables import METADATA
from tests.support.clusters import CONTEXT, Rig, native_of, open_rig, task

PACK: dict[str, Any] = {"pack": {"most": 3, "cpus": 2, "walltime": 100}}


@pytest_asyncio.fixture
async def packing(tmp_path: Path, nats: NatsSettings) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, nats, **PACK) as found:
        yield found


async def test_small_jobs_of_one_owner_and_project_go_together(packing: Rig) -> None:
    mine = [task() for _ in range(4)]
    others = [task(owner="bob"), task(project="demo"), task(walltime=1000), task(cpus=2), task(gpus=1)]
    await packing.put(*mine, *others)
    await packing.starter.start()
    names = [await packing.native_for(one) for one in mine]
    assert names[0] == names[1] == names[2] != names[3]
    assert len({await packing.native_for(one) for one in others} | set(names)) == 7
    order = packing.world.orders[names[0]]
    assert (order.cpus, order.walltime) == (2, 2 * 60 + 300)
    assert [await packing.ask(names[0], asked=number) for number in range(1, 5)] == [*mine[:3], None]


async def test_one_that_comes_alone_waits_for_nobody_and_those_right_after_it_go_together(
    packing: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    lone, *others = task(), task(), task()
    await packing.know(lone, *others)
    monkeypatch.setattr(keeper, "_LATELY", 60.0)
    monkeypatch.setattr(keeper, "_LINGER", 60.0)
    resting, until = asyncio.Event(), keeper._until

    async def rest(bell: asyncio.Event, pause: float) -> None:
        if bell is packing.cluster.bell.work and pause:
            resting.set()
        await until(bell, pause)
        if bell is packing.cluster.bell.work:
            resting.clear()

    monkeypatch.setattr(keeper, "_until", rest)
    async with packing.kept():
        await packing.backend.submit(lone)
        # It looks once more after it has started something: that look could find the first of the others alone.
        await packing.until(lambda: len(packing.world.alive) == 1 and resting.is_set())
        monkeypatch.setattr(keeper, "_LINGER", 2.0)
        await asyncio.gather(*(packing.backend.submit(one) for one in others))
        await packing.until(lambda: len(packing.world.alive) > 1)
    names = [await packing.native_for(one) for one in (lone, *others)]
    assert names[0] != names[1] == names[2]


async def test_one_of_a_pack_ends_without_the_others(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await packing.started(first, second)
    await packing.ask(name)
    await packing.ask(name, asked=2)
    assert await packing.backend.cancel(native_of(first)) is Cancelled.ENDING
    await packing.looker.look()
    assert packing.world.alive == [name]
    assert await packing.to_end(name) == [(first.workload_id, Reason.CANCELED)]
    await packing.age(timedelta(seconds=90))  # the pilot does not obey
    packing.looker.sweep_soon()
    await packing.looks()
    assert packing.world.alive == []
    told = {who: end.reason for who, end in await packing.told()}
    assert told == {first.workload_id: Reason.CANCELED, second.workload_id: Reason.INTERRUPTED}


async def test_what_a_pack_did_not_come_to_goes_alone(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await packing.started(first, second)
    await packing.ask(name)
    await packing.finish(first)
    packing.world.end(name, Reason.WALLTIME)
    await packing.looker.look()
    assert (await packing.attempt(second))["state"] == AttemptState.WAITING
    await packing.starter.start()
    assert (await packing.native_for(second)).endswith("-1r1")
    assert await packing.told() == []


async def test_a_pack_that_is_refused_is_tried_one_by_one(packing: Rig) -> None:
    packing.world.cpus = 1
    first, second = task(), task()
    await packing.started(first)
    await packing.put(second, third := task())
    await packing.starter.start()
    await packing.starter.start()
    names = [await packing.native_for(one) for one in (second, third)]
    assert [name.endswith("-1r1") for name in names] == [True, True]


async def test_no_task_is_given_that_would_outlast_its_pack(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await packing.started(first, second)
    await packing.ask(name)
    async with packing.unit.begin(CONTEXT) as work:
        claimed = now() - timedelta(seconds=390)
        await work.connection.execute(update(METADATA.tables["natives"]).values(claimed_at=claimed))
    assert await packing.ask(name, asked=2) is None


async def test_a_bundle_is_a_native_job_and_some_of_its_tasks_may_end(packing: Rig) -> None:
    bundle = task(bundle=RunBundle(indices="0-4"))
    [name] = await packing.started(bundle)
    assert (packing.world.orders[name].cpus, packing.world.orders[name].walltime) == (2, 3 * 60 + 300)
    await packing.ask(name)
    assert await packing.backend.cancel(native_of(bundle), "1-2") is Cancelled.ENDING
    assert await packing.backend.cancel(native_of(bundle), "4") is Cancelled.ENDING
    row = await packing.attempt(bundle)
    assert (row["part"], row["ending"]) == ("1-2,4", None)

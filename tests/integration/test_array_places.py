"""Where the tasks of an array go when their backend refuses them, is away, or does not begin with them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.backends import BackendView, DrainBackend, ResumeBackend
from contracts.envelope import Context
from contracts.ranges import Ranges
from contracts.states import Reason, WorkloadState
from contracts.tasks import TaskState
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.arrays import places
from services.scheduler.pilots.delivery import Delivery
from services.scheduler.placing.settings import PlacementSettings
from services.scheduler.settings import BackendSettings
from tests.support.cluster_pilots import FakePilots
from tests.support.databases import lose
from tests.support.engines import World
from tests.support.runner import FakeRunner
from tests.support.scheduler import ADMIN, User, run_scheduler, scheduler_settings

S = WorkloadState

Site = Callable[..., AbstractAsyncContextManager[User]]


@pytest.fixture
def site(
    tmp_path: Path,
    nats: NatsSettings,
    temporal: str,
    bus: Bus,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """Return what runs a scheduler whose work goes to a cluster, and if that will not have it, to a runner."""

    async def nowhere(_self: Delivery, _archive: object) -> str:
        return ""  # no storage is there to fetch the pilot from, and nobody does

    monkeypatch.setattr(Delivery, "url", nowhere)

    @asynccontextmanager
    async def run(**policy: Any) -> AsyncIterator[User]:
        found = scheduler_settings(tmp_path, nats, temporal, every=0.2, silence=5)
        cluster = {"name": "hpc", "kind": "memory", "memory": {"world": str(tmp_path)}}
        listed = {"order": "ordered", "backends": ["hpc", "local"], **policy}
        changes = {
            "backends": [BackendSettings.model_validate(cluster), BackendSettings()],
            "placement": PlacementSettings.model_validate({"default": listed}),
        }
        section = found.scheduler.model_copy(update=changes)
        async with run_scheduler(found.model_copy(update={"scheduler": section})):
            yield User(bus)

    return run


def _runs(*runners: FakeRunner) -> Counter[int]:
    """Return how often each task was begun with."""
    bundles = [task.bundle for one in runners for task in one.tasks if task.bundle]
    return Counter(index for bundle in bundles for index in Ranges.parse(bundle.indices))


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not is_so():  # noqa: ASYNC110 (a test may poll)
            await asyncio.sleep(0.02)


async def test_what_is_refused_at_once_runs_elsewhere(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    world.takes = 0
    async with site() as user:
        job = await user.until((await user.submit(array={"count": 12})).id)
        assert (job.state, job.backend, job.attempt) == (S.SUCCEEDED, "local", 1)
        tasks = await user.tasks(job.id)
        assert {(task.state, task.attempt) for task in tasks} == {(TaskState.SUCCEEDED, 1)}
        moves = (await user.history(job.id)).transitions
        assert [(move.state, move.backend) for move in moves if move.reason is Reason.RETRY] == [(S.QUEUED, "local")]
        assert "hpc refuses its tasks" in [move.message for move in moves]
    assert _runs(pilots, runner) == dict.fromkeys(range(12), 1)
    assert (world.started, pilots.tasks) == ({}, [])


async def test_what_is_refused_half_way_runs_elsewhere_and_what_runs_runs_on(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    world.takes = 5
    pilots.decide_task = lambda _task, _index: None
    async with site() as user:
        job = await user.submit(array={"count": 12})
        seen = await user.until_counts(job.id, running=5, succeeded=7)
        assert (seen.state, seen.backend) == (S.RUNNING, "local")
        pilots.decide_task = lambda _task, _index: 0
        for one in list(pilots.running.values()):
            await pilots.finish(one)
        ended = await user.until(job.id)
        assert ended.state is S.SUCCEEDED
        assert {task.attempt for task in await user.tasks(job.id)} == {1}
    assert _runs(pilots, runner) == dict.fromkeys(range(12), 1)
    assert sorted(world.started.values()) == [1] * 5


async def test_what_is_refused_everywhere_has_failed_with_the_words_of_the_last(
    site: Site, world: World, runner: FakeRunner
) -> None:
    world.takes = 0
    async with site() as user:
        job = await user.until((await user.submit(array={"count": 3}, placement={"backend": "hpc"})).id)
        assert (job.state, job.message) == (S.FAILED, "3 failed of 3 tasks")
        tasks = await user.tasks(job.id)
        assert {task.reason for task in tasks} == {Reason.REFUSED}
        assert all("the quota is used up" in task.message for task in tasks)
    assert runner.tasks == []


async def test_what_nobody_begins_with_is_seen_gone_and_then_runs_elsewhere_once(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    world.begins_at_once = world.stops_at_once = False
    async with site(patience=3.0) as user:
        job = await user.submit(array={"count": 8}, retries={"max": 0})
        await _until(lambda: len(world.alive) == 8)
        async with asyncio.timeout(15):
            while (await user.get(job.id)).backend != "local":  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.05)
        await _until(lambda: world.calls["stop"] > 0)
        await asyncio.sleep(0.5)
        # They were asked to end and have not: nobody else has one of them.
        assert (len(world.alive), runner.tasks) == (8, [])
        for name in world.alive[:3]:
            world.end(name, Reason.CANCELED, None, "stopped")
        await user.until_counts(job.id, succeeded=3)
        for name in world.alive:
            world.end(name, Reason.CANCELED, None, "stopped")
        ended = await user.until(job.id)
        assert (ended.state, ended.backend) == (S.SUCCEEDED, "local")
        # Lying in a queue was no attempt, and costs nothing.
        assert {task.attempt for task in await user.tasks(job.id)} == {1}
        assert "hpc did not begin with it in 3 s" in [move.message for move in (await user.history(job.id)).transitions]
    assert _runs(pilots, runner) == dict.fromkeys(range(8), 1)
    assert pilots.tasks == []


async def _two_of_six_begin(user: User, world: World) -> Workload:
    job = await user.submit(array={"count": 6})
    await _until(lambda: len(world.alive) == 6)
    for name in world.alive[:2]:
        world.begin_with(name)
    return job


async def test_what_a_patient_site_began_with_stays_and_the_rest_goes(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    world.begins_at_once = False
    pilots.decide_task = lambda _task, _index: None
    async with site(patience=4.0) as user:
        job = await _two_of_six_begin(user, world)
        seen = await user.until_counts(job.id, running=2, succeeded=4)
        assert (seen.state, seen.backend) == (S.RUNNING, "local")
        assert len(world.alive) == 2
        await user.cancel(job.id)
        assert (await user.until(job.id)).state is S.CANCELED
    assert _runs(pilots, runner) == dict.fromkeys(range(6), 1)


async def test_without_patience_it_waits_where_it_is(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    world.begins_at_once = False
    async with site() as user:
        job = await user.submit(array={"count": 4})
        await _until(lambda: len(world.alive) == 4)
        await asyncio.sleep(1)
        assert len(world.alive) == 4
        world.begin()
        ended = await user.until(job.id)
        assert (ended.state, ended.backend) == (S.SUCCEEDED, "hpc")
    assert (len(pilots.tasks), runner.tasks) == (4, [])


async def test_more_tasks_do_not_go_to_a_backend_that_went_away(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner
) -> None:
    pilots.decide_task = lambda _task, _index: None
    async with site() as user:
        job = await user.submit(array={"count": 9, "max_running": 3})
        await user.until_counts(job.id, running=3)
        world.away = "no route to host"
        async with asyncio.timeout(15):
            while await _trouble(user) == "":  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.1)
        pilots.decide_task = lambda _task, _index: 0
        for one in list(pilots.running.values()):
            await pilots.finish(one)
        ended = await user.until(job.id)
        assert (ended.state, ended.backend) == (S.SUCCEEDED, "local")
        world.away = ""
    assert (len(pilots.tasks), _runs(pilots, runner)) == (3, dict.fromkeys(range(9), 1))


async def _trouble(user: User) -> str:
    [hpc] = [one for one in await user.backends() if one.backend == "hpc"]
    return hpc.detail


async def test_nothing_more_goes_to_a_backend_that_is_drained(
    site: Site, world: World, bus: Bus, pilots: FakePilots, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_DRAINED", 0.2)
    pilots.decide_task = lambda _task, _index: None
    async with site() as user:
        job = await user.submit(array={"count": 6, "max_running": 2})
        pinned = await user.submit(array={"count": 4, "max_running": 2}, placement={"backend": "hpc"})
        for name in (job.id, pinned.id):
            await user.until_counts(name, running=2)
        await _order(bus, DrainBackend(principal=ADMIN, backend="hpc", message="a new roof"))
        pilots.decide_task = lambda _task, _index: 0
        for one in list(pilots.running.values()):
            await pilots.finish(one)
        ended = await user.until(job.id)
        assert (ended.state, ended.backend) == (S.SUCCEEDED, "local")
        # What may go nowhere else waits; what ran there has ended as it should.
        await user.until_counts(pinned.id, succeeded=2, pending=2)
        assert len(world.started) == 4
        await _order(bus, ResumeBackend(principal=ADMIN, backend="hpc"))
        assert (await user.until(pinned.id)).state is S.SUCCEEDED
    assert len(pilots.tasks) == 6
    assert _runs(runner) == dict.fromkeys(range(2, 6), 1)


async def _order(bus: Bus, command: DrainBackend | ResumeBackend) -> None:
    await bus.order(command, Context.start("user:root"), wait=10, answer=BackendView)


async def test_a_lost_table_knows_where_each_task_is(
    site: Site, world: World, pilots: FakePilots, runner: FakeRunner, nats: NatsSettings, temporal: str, tmp_path: Path
) -> None:
    world.begins_at_once = False
    pilots.decide_task = lambda _task, _index: None
    async with site(patience=4.0) as user:
        job = await _two_of_six_begin(user, world)
        before = await user.until_counts(job.id, running=2, succeeded=4)
        tasks = await user.tasks(job.id)
    await lose(scheduler_settings(tmp_path, nats, temporal).database_url)
    async with site(patience=4.0) as user:
        await user.until(job.id, S.RUNNING)
        after = await user.get(job.id)
        assert (after.tasks, after.backend, await user.tasks(job.id)) == (before.tasks, "local", tasks)
        for one in list(pilots.running.values()):
            await pilots.finish(one)
        assert (await user.until(job.id)).state is S.SUCCEEDED
    assert _runs(pilots, runner) == dict.fromkeys(range(6), 1)
    assert sorted(world.started.values()) == [1] * 6

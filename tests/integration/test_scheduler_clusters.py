"""A whole scheduler with a cluster in memory, on a real NATS and a real Temporal; the pilots pretend."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import InvalidError
from contracts.explanations import Why
from contracts.operations import Diagnosis
from contracts.queries import Diagnose
from contracts.states import Reason, WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.pilots.delivery import Delivery
from services.scheduler.settings import BackendSettings
from tests.support.cluster_pilots import FakePilots
from tests.support.engines import World
from tests.support.runner import Outcome
from tests.support.scheduler import User, run_scheduler, scheduler_settings

S = WorkloadState
HPC: dict[str, Any] = {"placement": {"backend": "hpc"}}

Site = Callable[..., AbstractAsyncContextManager[User]]


@pytest.fixture
def site(
    tmp_path: Path, nats: NatsSettings, temporal: str, bus: Bus, world: World, monkeypatch: pytest.MonkeyPatch
) -> Site:
    """Return what runs a scheduler with one cluster, whose settings a test chooses."""

    async def nowhere(_self: Delivery, _archive: object) -> str:
        return ""  # no storage is there to fetch the pilot from, and nobody does

    monkeypatch.setattr(Delivery, "url", nowhere)

    @asynccontextmanager
    async def run(**backend: Any) -> AsyncIterator[User]:
        found = scheduler_settings(tmp_path, nats, temporal, every=0.2, silence=0.5)
        cluster = {"name": "hpc", "kind": "memory", "memory": {"world": str(tmp_path)}, **backend}
        section = found.scheduler.model_copy(update={"backends": [BackendSettings.model_validate(cluster)]})
        async with run_scheduler(found.model_copy(update={"scheduler": section})):
            yield User(bus)

    return run


async def test_jobs_run_on_a_cluster_and_nothing_is_left_there(site: Site, pilots: FakePilots, world: World) -> None:
    async with site() as user:
        jobs = [await user.submit(**HPC) for _ in range(20)]
        ended = [await user.until(job.id) for job in jobs]
        assert {(job.state, job.backend, job.attempt) for job in ended} == {(S.SUCCEEDED, "hpc", 1)}
        async with asyncio.timeout(10):
            while world.seen:  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.05)
    assert sorted(world.started.values()) == [1] * 20
    assert len(pilots.tasks) == 20


async def test_it_says_in_the_words_of_the_cluster_why_a_job_waits(site: Site, world: World) -> None:
    world.begins_at_once = False
    async with site() as user:
        job = await user.submit(**HPC)
        await user.until(job.id, S.QUEUED)
        async with asyncio.timeout(10):
            while "native_reason" not in (found := await user.explain(job.id)).evidence:  # noqa: ASYNC110 (a test)
                await asyncio.sleep(0.05)
        assert (found.why, found.evidence["native_reason"]) == (Why.BACKEND_QUEUE, "Resources")
        assert found.message.endswith("which says: Resources")
        await user.cancel(job.id)
        assert (await user.until(job.id)).state is S.CANCELED
        async with asyncio.timeout(10):
            while world.seen:  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.05)


async def test_what_the_cluster_refuses_has_failed_with_its_words(site: Site, world: World) -> None:
    async with site() as user:
        spec = {"backend": "hpc", "options": {"memory": {"partition": "none"}}}
        job = await user.until((await user.submit(placement=spec)).id)
        assert (job.state, job.reason) == (S.FAILED, Reason.REFUSED)
        assert "there is no partition 'none'" in job.message
        with pytest.raises(InvalidError, match=r"placement\.options\.memory"):
            await user.submit(placement={"backend": "hpc", "options": {"memory": {"colour": "red"}}})
    assert world.seen == {}


async def test_a_lost_node_costs_an_attempt_and_no_retry(site: Site, pilots: FakePilots, world: World) -> None:
    pilots.decide = lambda task: Outcome(exit_code=None if task.attempt == 1 else 0)
    async with site() as user:
        job = await user.submit(**HPC)
        await user.until(job.id, S.RUNNING)
        world.end(world.alive[0], Reason.LOST, None, "node n1 failed")
        ended = await user.until(job.id)
        assert (ended.state, ended.attempt) == (S.SUCCEEDED, 2)
        assert "node n1 failed" in " ".join(move.message for move in (await user.history(job.id)).transitions)


async def test_a_queue_of_its_own_takes_more_than_there_is_room_for_but_not_all(site: Site, world: World) -> None:
    world.cpus, world.begins_at_once = 1, False
    async with site(queued=5) as user:
        jobs = [await user.submit(**HPC) for _ in range(8)]
        async with asyncio.timeout(10):
            while len(world.seen) < 5:  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.05)
        states = [(await user.get(job.id)).state for job in jobs]
        assert sorted(states) == [S.ACCEPTED] * 3 + [S.QUEUED] * 5


async def test_the_tasks_of_an_array_are_native_jobs(site: Site, pilots: FakePilots, world: World) -> None:
    async with site() as user:
        job = await user.until((await user.submit(array={"count": 12}, **HPC)).id)
        assert job.state is S.SUCCEEDED
        assert len(world.started) == 12
        pilots.decide_task = lambda _task, _index: None
        running = await user.submit(array={"count": 3}, **HPC)
        await user.until_counts(running.id, running=3)
        await user.cancel(running.id)
        assert (await user.until(running.id)).state is S.CANCELED


async def test_the_tasks_of_an_array_share_native_jobs_where_they_are_small(
    site: Site, pilots: FakePilots, world: World
) -> None:
    async with site(pack={"most": 10, "cpus": 2, "walltime": 60}) as user:
        small = {"resources": {"walltime": 30}, **HPC}
        job = await user.until((await user.submit(array={"count": 640}, **small)).id)
        assert job.tasks
        assert (job.state, job.tasks.succeeded) == (S.SUCCEEDED, 640)
        assert len(world.started) == 64
    assert len(pilots.tasks) == 64


async def test_a_scheduler_that_restarts_doubles_nothing(site: Site, pilots: FakePilots, world: World) -> None:
    world.begins_at_once = False
    async with site() as user:
        jobs = [await user.submit(**HPC) for _ in range(10)]
        world.breaks_after_start = 1
        for job in jobs:
            await user.until(job.id, S.QUEUED)
    async with site() as user:
        async with asyncio.timeout(20):
            while len(world.seen) < 10:  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.05)
        world.begin()
        assert {(await user.until(job.id)).state for job in jobs} == {S.SUCCEEDED}
    assert sorted(world.started.values()) == [1] * 10
    assert len(pilots.tasks) == 10


async def test_the_doctor_sees_a_cluster_that_is_away(site: Site, bus: Bus, world: World) -> None:
    async with site() as user:
        world.away = "no route to host"
        await user.submit(**HPC)
        async with asyncio.timeout(20):
            while True:
                diagnosis: Diagnosis = await bus.ask(Diagnose(), service="scheduler")
                found = {finding.code: finding for finding in diagnosis.findings}
                if "engine-away" in found:
                    break
                await asyncio.sleep(0.2)
        assert found["engine-away"].evidence == ["no route to host"]

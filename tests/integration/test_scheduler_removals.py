"""Numbers, names of one job alone, and jobs that are gone."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.commands import ShareWorkload
from contracts.errors import ConflictError, ForbiddenError, NotFoundError
from contracts.grants import Right
from contracts.queries import ListWorkloads, WorkloadPage
from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from tests.support.databases import lose
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import ADA, BOB, User, run_scheduler, scheduler_settings

S = WorkloadState


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=0.3)


async def _until_idle(runner: FakeRunner) -> None:
    async with asyncio.timeout(20):
        while True:
            if not runner.running:
                return
            await asyncio.sleep(0.02)


async def _listed(bus: Bus) -> list[str]:
    page: WorkloadPage = await bus.ask(ListWorkloads(principal=ADA))
    return [job.id for job in page.items]


async def test_numbers_go_up_and_find_their_job(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> None:
    async with run_scheduler(settings):
        ada, bob = User(bus), User(bus, BOB)
        jobs = await asyncio.gather(*(ada.submit() for _ in range(20)))
        assert sorted(job.number or 0 for job in jobs) == list(range(1, 21))
        assert (await ada.find(jobs[7].number or 0)).id == jobs[7].id
        page: WorkloadPage = await bus.ask(ListWorkloads(principal=ADA, number=jobs[3].number))
        assert [job.id for job in page.items] == [jobs[3].id]
        with pytest.raises(NotFoundError):
            await bob.find(1)
        with pytest.raises(NotFoundError):
            await ada.find(21)
        await ada.remove(max(jobs, key=lambda job: job.number or 0).id)
        assert (await ada.submit()).number == 21


async def test_a_claimed_name_is_one_jobs_until_that_is_removed(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    async with run_scheduler(settings):
        ada, bob = User(bus), User(bus, BOB)
        tries = await asyncio.gather(
            *(ada.submit(name="train", unique_name=True) for _ in range(8)), return_exceptions=True
        )
        first = [job for job in tries if not isinstance(job, BaseException)]
        assert len(first) == 1
        assert sum(isinstance(job, ConflictError) for job in tries) == 7
        assert (await bob.submit(name="train", unique_name=True)).name == "train"
        assert (await ada.submit(name="train")).name == "train"
        await ada.until(first[0].id)
        with pytest.raises(ConflictError):
            await ada.submit(name="train", unique_name=True)
        await ada.remove(first[0].id)
        assert (await ada.submit(name="train", unique_name=True)).id != first[0].id


async def test_what_is_removed_is_gone_for_everybody(settings: SchedulerSettings, bus: Bus, runner: FakeRunner) -> None:
    async with run_scheduler(settings):
        ada, bob = User(bus), User(bus, BOB)
        job = await ada.until((await ada.submit()).id)
        share = ShareWorkload(workload_id=job.id, principal=ADA, grantee=f"user:{BOB.subject}", right=Right.CONTROL)
        with suppress(Exception):  # the answer is a grant, not a workload
            await ada.order(share)
        assert (await bob.get(job.id)).id == job.id
        with pytest.raises(ForbiddenError):
            await bob.remove(job.id)
        assert (await ada.remove(job.id)).id == job.id
        for who in (ada, bob):
            for look in (who.get, who.history, who.explain, who.cancel, who.order_retry, who.remove):
                with pytest.raises(NotFoundError):
                    await look(job.id)
        assert await _listed(bus) == []
        with pytest.raises(NotFoundError):
            await ada.find(job.number or 0)


async def test_what_still_runs_is_ended_when_it_is_removed(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    async with run_scheduler(settings):
        ada = User(bus)
        runner.decide = lambda _: Outcome(exit_code=None)
        job = await ada.submit()
        await ada.until(job.id, S.RUNNING)
        await ada.remove(job.id)
        await _until_idle(runner)


async def test_a_lost_table_is_rebuilt_with_its_numbers_and_without_what_was_removed(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    async with run_scheduler(settings):
        ada = User(bus)
        jobs = [await ada.until((await ada.submit(name=f"n{place}", unique_name=True)).id) for place in range(3)]
        await ada.remove(jobs[1].id)
        again = await ada.until((await ada.submit(name="n1", unique_name=True)).id)
    await lose(settings.database_url)
    async with run_scheduler(settings):
        await ada.until(again.id)
        assert [(await ada.find(number)).id for number in (1, 3, 4)] == [jobs[0].id, jobs[2].id, again.id]
        with pytest.raises(NotFoundError):
            await ada.find(2)
        with pytest.raises(ConflictError):
            await ada.submit(name="n1", unique_name=True)
        assert (await ada.submit()).number == 5

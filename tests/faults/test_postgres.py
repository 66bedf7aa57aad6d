"""F11: the scheduler's PostgreSQL crashes, is restarted, or has no connection left; every job ends once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from contracts.ids import workload_id
from contracts.states import WorkloadState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from tests.support.postgres import Postgres, needs_postgres, run_postgres_server
from tests.support.runner import FakeRunner
from tests.support.scheduler import User, run_scheduler, scheduler_settings

pytestmark = needs_postgres

S = WorkloadState

_CONNECTIONS = 24
_ENDS = (S.SUCCEEDED, S.FAILED, S.CANCELED, S.LOST)


@asynccontextmanager
async def _on_postgres(settings: SchedulerSettings, *options: str) -> AsyncIterator[Postgres]:
    async with run_postgres_server(*options, careful=True) as server:
        settings.scheduler.database_url = server.url
        async with run_scheduler(settings):
            yield server


async def _ask(user: User) -> str:
    """Ask for a job until there is an answer, always by the same name."""
    job = workload_id()
    while await user.submit(job, request_hash="asked") is None:
        pass  # it is kept, and is handled later
    return job


async def _all_end_once(user: User, bus: Bus, jobs: list[str]) -> None:
    for job in jobs:
        assert (await user.until(job, seconds=60)).state is S.SUCCEEDED
        ends = [move for move in (await user.history(job)).transitions if move.state in _ENDS]
        assert len(ends) == 1
    async with asyncio.timeout(20):
        # What was committed by a database that could not say so any more is found in the outbox seconds later.
        while not all([await _ends_told(bus, job) for job in jobs]):  # noqa: ASYNC110 (a stream tells nobody)
            await asyncio.sleep(0.2)
    assert [await _ends_told(bus, job) for job in jobs] == [1] * len(jobs)


async def _ends_told(bus: Bus, job: str) -> int:
    subjects = [f"events.workload.{end}.{job}" for end in _ENDS]
    told = [await bus.jetstream.stream_info("EVENTS", subjects_filter=subject) for subject in subjects]
    return sum(sum((info.state.subjects or {}).values()) for info in told)


async def _take_all(server: Postgres, stack: AsyncExitStack) -> int:
    """Take every connection that is left; returns how many."""
    for taken in range(_CONNECTIONS + 1):
        try:
            connection = await asyncpg.connect(server.url.replace("+asyncpg", ""))
        except asyncpg.TooManyConnectionsError:
            return taken
        stack.push_async_callback(connection.close)
    raise AssertionError("the server has more connections than it was given")


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_a_database_that_goes_away_in_the_middle_loses_nothing(
    mode: str, tmp_path: Path, nats: NatsSettings, temporal: str, bus: Bus, runner: FakeRunner
) -> None:
    settings, user = scheduler_settings(tmp_path, nats, temporal, every=0.2, silence=5.0), User(bus)
    async with _on_postgres(settings) as server:
        jobs = [await _ask(user) for _ in range(5)]
        late = [asyncio.create_task(_ask(user)) for _ in range(10)]
        await asyncio.sleep(0)
        await server.stop(mode)
        # Asked while there is no database: the command is kept, and handled when there is one again.
        late += [asyncio.create_task(_ask(user)) for _ in range(5)]
        await server.start()
        jobs += await asyncio.gather(*late)
        await _all_end_once(user, bus, jobs)
        assert sorted(task.workload_id for task in runner.tasks) == sorted(jobs)


async def test_a_database_without_a_free_connection_makes_jobs_wait_not_fail(
    tmp_path: Path, nats: NatsSettings, temporal: str, bus: Bus, runner: FakeRunner
) -> None:
    settings, user = scheduler_settings(tmp_path, nats, temporal, every=0.2, silence=5.0), User(bus)
    async with _on_postgres(settings, f"max_connections={_CONNECTIONS}") as server:
        first = await _ask(user)
        await _all_end_once(user, bus, [first])
        async with AsyncExitStack() as stack:
            assert await _take_all(server, stack) > 0
            waiting = [asyncio.create_task(_ask(user)) for _ in range(40)]
            done, _ = await asyncio.wait(waiting, timeout=1.0)
        jobs = await asyncio.gather(*waiting)
        await _all_end_once(user, bus, jobs)
        assert len(done) <= len(jobs)
        assert sorted(task.workload_id for task in runner.tasks) == sorted([first, *jobs])

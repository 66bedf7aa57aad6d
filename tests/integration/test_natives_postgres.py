"""Two schedulers and one cluster on PostgreSQL: whoever keeps it, each attempt is one native job."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.chassis.migrations import ensure_schema
from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Cancelled
from services.scheduler.natives.words import AttemptState
from tests.support.clusters import native_of, open_rig, task
from tests.support.postgres import needs_postgres, run_postgres


@needs_postgres
async def test_two_schedulers_start_each_attempt_once_and_the_second_takes_over(
    tmp_path: Path, nats: NatsSettings
) -> None:
    async with run_postgres() as postgres:
        await ensure_schema("scheduler", postgres)
        async with (
            open_rig(tmp_path, nats, url=postgres) as first,
            open_rig(tmp_path, nats, url=postgres) as second,
        ):
            tasks = [task() for _ in range(40)]
            async with second.kept():
                async with first.kept():
                    submits = [(first, second)[place % 2].backend.submit(one) for place, one in enumerate(tasks[:20])]
                    await asyncio.gather(*submits)
                await asyncio.gather(*(first.backend.submit(one) for one in tasks[20:]))
                await first.until(lambda: len(first.world.seen) == len(tasks), seconds=15)
                assert await second.backend.cancel(native_of(tasks[0])) is Cancelled.GONE
                given = await first.ask(await first.native_for(tasks[1]))
                assert given == tasks[1]
                assert await second.ask(await first.native_for(tasks[1]), "another") is None
            # Both at once, as when a lease was lost without anybody's noticing.
            await first.put(*(more := [task() for _ in range(10)]))
            await asyncio.gather(first.starter.start(), second.starter.start(), return_exceptions=True)
            await first.starter.start()
            states = [(await first.attempt(one))["state"] for one in more]
        assert set(first.world.started.values()) == {1}
        assert states == [AttemptState.PLACED] * 10

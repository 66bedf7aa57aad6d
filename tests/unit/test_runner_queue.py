"""The runner's end of the task queue."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.scheduler.runner.link import Link
from services.scheduler.runner.queue import Queue
from services.scheduler.runner.settings import NatsSettings


async def test_it_stops_although_a_cancel_was_swallowed_with_the_connection() -> None:
    queue = Queue(link=Link(NatsSettings(url="nats://127.0.0.1:1"), "r"), backend="local", take=lambda _task: None)
    began = asyncio.Event()

    async def swallow_one() -> None:
        # As the client does when its connection is lost in the same moment.
        with suppress(asyncio.CancelledError):
            began.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    queue._running = asyncio.create_task(swallow_one())
    await began.wait()
    await asyncio.wait_for(queue.stop(), timeout=10)
    assert queue._running.cancelled()

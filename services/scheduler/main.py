"""Starts the scheduler: `python -m services.scheduler.main`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
import uvloop
from tenacity import retry, retry_if_exception_type, wait_exponential

from contracts.errors import UnavailableError
from services.chassis.collector import spare_collector
from services.chassis.connecting import until_it_answers
from services.chassis.service import Frame, open_frame

from .catching_up.log import catch_up
from .handlers import register
from .parts import Parts
from .reconciler import Reconciler
from .settings import SchedulerSettings, TemporalSettings
from .tables import METADATA
from .temporal import connect
from .worker import make_worker

__all__ = ["main", "run"]

_HEALTH_TIMEOUT = timedelta(seconds=2)
_LEAVE = 3.0
"""Seconds that the worker has to leave Temporal, which may hang."""

log = structlog.get_logger(__name__)


async def main(settings: SchedulerSettings) -> None:
    """Serve until told to stop."""
    async with open_frame("scheduler", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        parts = Parts(frame, settings)
        register(frame.bus, parts)
        parts.connect(frame)
        await until_it_answers(lambda: catch_up(frame.unit, frame.bus), settings.nats)
        reconciler = Reconciler(
            unit=frame.unit,
            bus=frame.bus,
            sink=parts.sink,
            reports=parts.reports,
            settings=settings.scheduler.watch,
        )
        await parts.roster.open()
        await parts.dispatcher.load()
        await parts.agreement.agree()
        await parts.vigils.listen()
        working = _work(frame, settings.scheduler.temporal, parts)
        await _serve(
            *(frame, parts, settings, working, parts.watch.run(), parts.clock.run(), reconciler.run()),
            *(
                parts.hooks.run(),
                parts.shelf.run(),
                parts.keeper.run(),
                parts.natives.keepers.run(),
                parts.pilots.run(),
                parts.roster.run(),
            ),
        )


async def _serve(frame: Frame, parts: Parts, settings: SchedulerSettings, *beside: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(one) for one in beside]

    def wind_down() -> None:
        parts.vigils.close()
        for task in tasks:
            if not task.cancelling():  # a second cancel would cut the worker's own shutdown short
                task.cancel()

    try:
        # The worker finishes its steps while the bus finishes its messages; one after the other took too long.
        await frame.serve(settings.scheduler.health, on_drain=wind_down)
    finally:
        wind_down()
        await asyncio.wait(tasks, timeout=_LEAVE)


async def _work(frame: Frame, temporal: TemporalSettings, parts: Parts) -> None:
    """Connect to Temporal as soon as it is there, and run workflows until cancelled."""
    there = asyncio.Event()

    async def check() -> None:
        if not there.is_set():
            raise UnavailableError("no connection yet")
        await client.service_client.check_health(timeout=_HEALTH_TIMEOUT)

    frame.health.add("temporal", check)
    patiently = retry(retry=retry_if_exception_type(UnavailableError), wait=wait_exponential(0.1, max=2.0))
    client = await patiently(connect)(temporal)
    worker = make_worker(client, temporal.task_queue, *parts.activities)
    parts.sink.use(client)
    parts.mirror.use(client)
    parts.hooks.use(client)
    there.set()
    log.info("temporal.connected", address=temporal.address)
    comparing = [asyncio.create_task(part.run()) for part in (parts.mirror, parts.hooks.lines)]
    try:
        with suppress(asyncio.CancelledError):
            await worker.run()
    finally:
        for task in comparing:
            task.cancel()


async def _serve_and_leave(settings: SchedulerSettings) -> None:
    await main(settings)
    if asyncio.all_tasks() - {asyncio.current_task()}:
        # The worker hangs in a call to a Temporal that does not answer, and the loop would wait for it for ever.
        log.warning("service.left_without_temporal")
        os._exit(0)


def run() -> None:
    """Read the settings and serve."""
    spare_collector()
    uvloop.run(_serve_and_leave(SchedulerSettings()))


if __name__ == "__main__":
    run()

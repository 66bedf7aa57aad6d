"""Starts the scheduler: `python -m services.scheduler.main`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import structlog
import uvloop
from tenacity import retry, retry_if_exception_type, wait_exponential

from contracts.errors import UnavailableError
from contracts.runs import RunTicket
from services.chassis.service import Frame, open_frame
from services.chassis.tickets import Tickets

from .activities.array import ArrayActivities
from .activities.job import JobActivities
from .admission import Admission
from .arrays.desk import ArrayDesk
from .backends.registry import make_backends
from .handlers import register
from .reports import ReportService
from .service import WorkloadService
from .settings import SchedulerSettings
from .tables import METADATA
from .temporal import TEMPORAL_SINK, TemporalSink, connect
from .watch import RunWatch
from .worker import make_worker

__all__ = ["main", "run"]

_HEALTH_TIMEOUT = timedelta(seconds=2)

log = structlog.get_logger(__name__)


async def main(settings: SchedulerSettings) -> None:
    """Serve until told to stop."""
    async with open_frame("scheduler", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        backends = make_backends(settings.scheduler.backends, frame.bus)
        service = WorkloadService(unit=frame.unit, admission=Admission(backends=backends, ask=frame.bus.ask))
        reports = ReportService(unit=frame.unit, backends=backends)
        register(frame.bus, service=service, reports=reports, backends=backends)
        sink = TemporalSink(task_queue=settings.scheduler.temporal.task_queue, is_over=service.is_over)
        frame.sinks[TEMPORAL_SINK] = sink
        tickets = Tickets(settings.ticket_key, RunTicket)
        desk = ArrayDesk(unit=frame.unit, backends=backends, tickets=tickets)
        watch = RunWatch(unit=frame.unit, backends=backends, desk=desk, settings=settings.scheduler.watch)
        tasks = [
            asyncio.create_task(
                _work(frame, settings, JobActivities(unit=frame.unit, backends=backends, tickets=tickets), desk, sink)
            ),
            asyncio.create_task(watch.run()),
        ]
        try:
            await frame.serve(settings.scheduler.health)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _work(
    frame: Frame, settings: SchedulerSettings, activities: JobActivities, desk: ArrayDesk, sink: TemporalSink
) -> None:
    """Connect to Temporal as soon as it is there, and run workflows until cancelled."""
    there = asyncio.Event()

    async def check() -> None:
        if not there.is_set():
            raise UnavailableError("no connection yet")
        await client.service_client.check_health(timeout=_HEALTH_TIMEOUT)

    frame.health.add("temporal", check)
    patiently = retry(retry=retry_if_exception_type(UnavailableError), wait=wait_exponential(0.1, max=2.0))
    client = await patiently(connect)(settings.scheduler.temporal)
    worker = make_worker(client, settings.scheduler.temporal.task_queue, activities, ArrayActivities(desk))
    sink.use(client)
    there.set()
    log.info("temporal.connected", address=settings.scheduler.temporal.address)
    with suppress(asyncio.CancelledError):
        await worker.run()


def run() -> None:
    """Read the settings and serve."""
    uvloop.run(main(SchedulerSettings()))


if __name__ == "__main__":
    run()

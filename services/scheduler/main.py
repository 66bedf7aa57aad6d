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

from .activities.job import JobActivities
from .admission import Admission
from .backends.registry import Backends, make_backends
from .handlers import register
from .journey import ENDS_SINK
from .queue.clock import QueueClock
from .queue.dependencies import Dependencies
from .queue.dispatcher import Dispatcher
from .queue.explain import Explainer
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
        section = settings.scheduler
        dispatcher = Dispatcher(unit=frame.unit, backends=backends, queue=section.queue, limits=section.limits)
        admission = Admission(backends=backends, ask=frame.bus.ask)
        service = WorkloadService(unit=frame.unit, admission=admission, dispatcher=dispatcher)
        reports = ReportService(unit=frame.unit, backends=backends)
        explainer = Explainer(unit=frame.unit, dispatcher=dispatcher, backends=backends, limits=section.limits)
        register(frame.bus, service=service, reports=reports, backends=backends, explainer=explainer)
        sink = TemporalSink(task_queue=settings.scheduler.temporal.task_queue, is_over=service.is_over)
        frame.sinks[TEMPORAL_SINK] = sink
        frame.sinks[ENDS_SINK] = Dependencies(unit=frame.unit, dispatcher=dispatcher)
        clock = QueueClock(unit=frame.unit, dispatcher=dispatcher, backends=backends, settings=section.queue)
        await dispatcher.load()
        watch = RunWatch(unit=frame.unit, backends=backends, settings=settings.scheduler.watch)
        tasks = [
            asyncio.create_task(_work(frame, settings, backends, sink, admission)),
            asyncio.create_task(watch.run()),
            asyncio.create_task(clock.run()),
        ]
        try:
            await frame.serve(settings.scheduler.health)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _work(
    frame: Frame, settings: SchedulerSettings, backends: Backends, sink: TemporalSink, admission: Admission
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
    activities = JobActivities(
        unit=frame.unit,
        backends=backends,
        tickets=Tickets(settings.ticket_key, RunTicket),
        freeze_rest=admission.freeze_rest,
    )
    worker = make_worker(client, settings.scheduler.temporal.task_queue, activities)
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

"""Starts the scheduler: `python -m services.scheduler.main`."""

from __future__ import annotations

import asyncio
import os
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
from .activities.schedule import ScheduleActivities
from .admission import Admission
from .backends.registry import Backends, make_backends
from .batches.service import BatchService
from .catching_up import catch_up
from .entrance import Entrance
from .handlers import register
from .journey import ENDS_SINK
from .probes import Probes
from .queue.clock import QueueClock
from .queue.dependencies import Dependencies
from .queue.dispatcher import Dispatcher
from .queue.explain import Explainer
from .reconciler import Reconciler
from .reports import ReportService
from .schedules.firing import Firing
from .schedules.mirror import ScheduleMirror
from .schedules.service import ScheduleService
from .schedules.words import SCHEDULES_SINK
from .service import WorkloadService
from .settings import SchedulerSettings
from .tables import METADATA
from .temporal import TEMPORAL_SINK, TemporalSink, connect
from .watch import RunWatch
from .worker import make_worker

__all__ = ["main", "run"]

_HEALTH_TIMEOUT = timedelta(seconds=2)
_LEAVE = 3.0
"""Seconds that the worker has to leave Temporal, which may hang."""

log = structlog.get_logger(__name__)


async def main(settings: SchedulerSettings) -> None:
    """Serve until told to stop."""
    async with open_frame("scheduler", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        backends = make_backends(settings.scheduler.backends, frame.bus)
        section = settings.scheduler
        dispatcher = Dispatcher(unit=frame.unit, backends=backends, queue=section.queue, limits=section.limits)
        admission = Admission(backends=backends, ask=frame.bus.ask)
        service = WorkloadService(unit=frame.unit, admission=admission, dispatcher=dispatcher)
        firing = Firing(unit=frame.unit, workloads=service)
        schedules = ScheduleService(
            unit=frame.unit, admission=admission, firing=firing, per_owner=section.schedules.per_owner
        )
        batches = BatchService(unit=frame.unit, admission=admission, entrance=Entrance(dispatcher), workloads=service)
        reports = ReportService(unit=frame.unit, backends=backends)
        explainer = Explainer(unit=frame.unit, dispatcher=dispatcher, backends=backends, limits=section.limits)
        register(
            frame.bus,
            service=service,
            reports=reports,
            backends=backends,
            schedules=schedules,
            batches=batches,
            explainer=explainer,
        )
        sink = TemporalSink(task_queue=settings.scheduler.temporal.task_queue, is_over=service.is_over)
        frame.sinks[TEMPORAL_SINK] = sink
        mirror = ScheduleMirror(unit=frame.unit, task_queue=settings.scheduler.temporal.task_queue)
        frame.sinks[SCHEDULES_SINK] = mirror
        frame.sinks[ENDS_SINK] = Dependencies(unit=frame.unit, dispatcher=dispatcher)
        clock = QueueClock(unit=frame.unit, dispatcher=dispatcher, backends=backends, settings=section.queue)
        probes = Probes(unit=frame.unit, backends=backends, sink=sink, namespace=settings.scheduler.temporal.namespace)
        for probe in (probes.runners, probes.attempts, probes.workflows):
            frame.doctor.add(probe.__name__, probe)
        reconciler = Reconciler(
            unit=frame.unit,
            bus=frame.bus,
            sink=sink,
            reports=reports,
            settings=settings.scheduler.watch,
            brought_forward=await catch_up(frame.unit, frame.bus),
        )
        await dispatcher.load()
        watch = RunWatch(unit=frame.unit, backends=backends, settings=settings.scheduler.watch)
        tasks = [
            asyncio.create_task(_work(frame, settings, backends, sink, mirror, ScheduleActivities(firing=firing))),
            asyncio.create_task(watch.run()),
            asyncio.create_task(clock.run()),
            asyncio.create_task(reconciler.run()),
        ]

        def wind_down() -> None:
            for task in tasks:
                if not task.cancelling():  # a second cancel would cut the worker's own shutdown short
                    task.cancel()

        try:
            # The worker finishes its steps while the bus finishes its messages; one after the other took too long.
            await frame.serve(settings.scheduler.health, on_drain=wind_down)
        finally:
            wind_down()
            await asyncio.wait(tasks, timeout=_LEAVE)


async def _work(
    frame: Frame,
    settings: SchedulerSettings,
    backends: Backends,
    sink: TemporalSink,
    mirror: ScheduleMirror,
    schedules: ScheduleActivities,
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
    activities = JobActivities(unit=frame.unit, backends=backends, tickets=Tickets(settings.ticket_key, RunTicket))
    worker = make_worker(client, settings.scheduler.temporal.task_queue, activities, schedules)
    sink.use(client)
    mirror.use(client)
    there.set()
    log.info("temporal.connected", address=settings.scheduler.temporal.address)
    comparing = asyncio.create_task(mirror.run())
    try:
        with suppress(asyncio.CancelledError):
            await worker.run()
    finally:
        comparing.cancel()


async def _serve_and_leave(settings: SchedulerSettings) -> None:
    await main(settings)
    if asyncio.all_tasks() - {asyncio.current_task()}:
        # The worker hangs in a call to a Temporal that does not answer, and the loop would wait for it for ever.
        log.warning("service.left_without_temporal")
        os._exit(0)


def run() -> None:
    """Read the settings and serve."""
    uvloop.run(_serve_and_leave(SchedulerSettings()))


if __name__ == "__main__":
    run()

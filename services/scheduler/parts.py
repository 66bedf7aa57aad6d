"""What the scheduler is made of: every part, with those it needs."""

from __future__ import annotations

from contracts.runs import RunTicket
from services.chassis.service import Frame
from services.chassis.tickets import Tickets
from services.chassis.unit import UnitOfWork

from .activities.array import ArrayActivities
from .activities.job import JobActivities
from .activities.schedule import ScheduleActivities
from .activities.webhook import HookActivities
from .admission import Admission
from .arrays.desk import ArrayDesk
from .backends.registry import make_backend, make_backends
from .batches.service import BatchService
from .catalog.shelf import Shelf
from .catalog.sources import source_of
from .catching_up.queue import QueueAgreement
from .entrance import Entrance
from .journey import ENDS_SINK
from .mail.parts import MailParts
from .natives.parts import NativeParts, means_of
from .pilots.parts import PilotParts
from .placing.parts import PlacingParts
from .probes import Probes
from .pulls.desk import LeaseDesk
from .pulls.keeper import PullKeeper
from .queue.clock import QueueClock
from .queue.dependencies import Dependencies
from .queue.dispatcher import Dispatcher
from .queue.explain import Explainer
from .reports import ReportService
from .schedules.firing import Firing
from .schedules.mirror import ScheduleMirror
from .schedules.service import ScheduleService
from .schedules.words import SCHEDULES_SINK
from .service import WorkloadService
from .settings import SchedulerSection, SchedulerSettings
from .sharing import SharingService
from .temporal import TEMPORAL_SINK, TemporalSink
from .vigils import Vigils
from .watch import RunWatch
from .webhooks.parts import HookParts

__all__ = ["Parts"]


class Parts:
    """Every part of the scheduler. Making them starts nothing."""

    def __init__(self, frame: Frame, settings: SchedulerSettings) -> None:
        section, unit = settings.scheduler, frame.unit
        self.pilots = PilotParts(frame, settings, lambda: self.backends)
        means = means_of(frame, settings, self.pilots.launcher)
        self.backends = backends = make_backends(section.backends, means)
        self.placing = placing = PlacingParts(unit, backends, settings)
        self.placer = placer = placing.placer
        self.dispatcher = dispatcher = Dispatcher(
            unit=unit, backends=backends, queue=section.queue, limits=section.limits
        )
        self.mail = MailParts(frame, settings)
        self.hooks = HookParts(frame, settings, self.mail)
        source = source_of(section.applications, settings.data, settings.storage.s3)
        self.shelf = Shelf(unit=unit, source=source, every=section.applications.every)
        self.admission = admission = Admission(
            placer=placer,
            ask=frame.bus.ask,
            gate=self.hooks.gate,
            offered=self.shelf.current,
            mail=self.mail.gate,
        )
        self.service = WorkloadService(unit=unit, admission=admission, dispatcher=dispatcher)
        self.sharing = SharingService(unit=unit)
        entrance = Entrance(dispatcher)
        self.batches = BatchService(unit=unit, admission=admission, entrance=entrance, workloads=self.service)
        self.firing = Firing(unit=unit, workloads=self.service)
        self.schedules = ScheduleService(
            unit=unit, admission=admission, firing=self.firing, per_owner=section.schedules.per_owner
        )
        self.vigils = vigils = Vigils(frame.bus)
        self.reports = ReportService(unit=unit, backends=backends, vigils=vigils)
        self.leases = LeaseDesk(unit=unit, backends=placing.pulled)
        self.keeper = PullKeeper(unit=unit, backends=placing.pulled)
        self.previewer = placing.previewer(admission, dispatcher)
        self.roster = placing.roster(dispatcher, lambda item: make_backend(item, means))
        self.tickets = Tickets(settings.ticket_key, RunTicket)
        self.sink = TemporalSink(
            task_queue=section.temporal.task_queue,
            is_over=self.service.is_over,
            wake=vigils.wake,
            crowd=frame.bus.crowd,
        )
        self.mirror = ScheduleMirror(unit=unit, task_queue=section.temporal.task_queue)
        self.dependencies = Dependencies(unit=unit, dispatcher=dispatcher)
        self.agreement = QueueAgreement(unit=unit, dispatcher=dispatcher, entrance=entrance, placer=placer)
        self.clock = QueueClock(unit=unit, dispatcher=dispatcher, backends=backends, settings=section.queue)
        self._look_after(frame, section)
        self.activities = self._activities(unit)

    def _look_after(self, frame: Frame, section: SchedulerSection) -> None:
        """Make those that look after what was handed out."""
        unit, backends = frame.unit, self.backends
        self.explainer = Explainer(
            unit=unit, dispatcher=self.dispatcher, backends=backends, limits=section.limits, weigh=self.previewer.weigh
        )
        self.desk = ArrayDesk(unit=unit, backends=backends, tickets=self.tickets, placer=self.placer)
        self.natives = NativeParts(frame, backends, self.desk, self.tickets)
        self.watch = RunWatch(unit=unit, bus=frame.bus, backends=backends, desk=self.desk, settings=section.watch)
        self.probes = Probes(unit=unit, backends=backends, sink=self.sink, namespace=section.temporal.namespace)

    def _activities(
        self, unit: UnitOfWork
    ) -> tuple[JobActivities, ScheduleActivities, ArrayActivities, HookActivities]:
        """Return what workflows have done."""
        jobs = JobActivities(
            unit=unit,
            backends=self.backends,
            placer=self.placer,
            tickets=self.tickets,
            freeze_rest=self.admission.freeze_rest,
            vigils=self.vigils,
        )
        return (
            jobs,
            ScheduleActivities(firing=self.firing),
            ArrayActivities(self.desk),
            HookActivities(self.hooks.deliverer),
        )

    def connect(self, frame: Frame) -> None:
        """Have the frame say to Temporal what it must hear, and look after us."""
        frame.sinks[TEMPORAL_SINK] = self.sink
        frame.sinks[SCHEDULES_SINK] = self.mirror
        frame.sinks[ENDS_SINK] = self.dependencies
        self.hooks.connect(frame)
        frame.doctor.add("applications", self.shelf.findings)
        frame.doctor.add("backends", self.roster.findings)
        frame.doctor.add("pilots", self.pilots.probes.pilots)
        for probe in (self.probes.runners, self.probes.attempts, self.probes.workflows, self.natives.probes.natives):
            frame.doctor.add(probe.__name__, probe)

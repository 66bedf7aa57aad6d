"""What is made once for the process, and what is made for each request from it."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from contracts.runs import Stream
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.health import HealthBook
from services.chassis.sealing import Sealer

from .auth.authenticator import Door
from .auth.desk import TokenDesk
from .batches import BatchService
from .callers import Caller
from .closing import Closing
from .ending import Ending
from .events import EventService
from .figures import SiteService, UsageService
from .files import FileService
from .follow import LogFollower, Position
from .guard.guard import Guard
from .hooks import HookService
from .identity.home import Identity
from .identity.pairs import KeyPairService
from .identity.people import UserService
from .identity.projects import ProjectService
from .identity.tokens import TokenService
from .jobs import JobService
from .leases import LeaseService
from .links import Linker
from .logs import Archive, LogService
from .mail import MailService
from .operations import OperationsService
from .parked import ParkedService
from .schedules import ScheduleService
from .settings import GatewaySection
from .sharing import SharingService
from .shelves import ShelfService
from .streams import Streams
from .transfer import Transfer

__all__ = ["Factory", "Process"]


_NO_KEY = SecretStr("")


@dataclass(frozen=True, slots=True)
class Process:
    """Made at the start, closed at the end."""

    settings: GatewaySection
    bus: Bus
    http: httpx.AsyncClient
    door: Door
    health: HealthBook
    linker: Linker
    closing: Closing
    identity: Identity
    guard: Guard
    sealer: Sealer
    tokens: TokenDesk | None = None
    """Gives out tokens; none where the site has none of its own."""
    seal_key: SecretStr = _NO_KEY
    """Seals what is kept for somebody and must not be read by anybody; empty where nothing can be sealed."""


class Factory:
    """Makes the services of one request."""

    def __init__(self, process: Process, caller: Caller) -> None:
        self._process = process
        self.caller = caller
        self.linker = process.linker

    @property
    def closing(self) -> Closing:
        """Return when a long answer must end: the gateway stops, or this caller may ask no more."""
        process, caller = self._process, self.caller
        return Ending(process.closing, process.identity.register, caller.passport, caller.facts)

    def jobs(self) -> JobService:
        """Return the service for jobs."""
        process = self._process
        return JobService(
            bus=process.bus,
            caller=self.caller,
            closing=self.closing,
            wait=process.settings.submit_wait,
            sealer=process.sealer,
        )

    def batches(self) -> BatchService:
        """Return the service for batches."""
        process = self._process
        return BatchService(
            bus=process.bus, caller=self.caller, wait=process.settings.submit_wait, sealer=process.sealer
        )

    def schedules(self) -> ScheduleService:
        """Return the service for schedules."""
        process = self._process
        return ScheduleService(
            bus=process.bus,
            caller=self.caller,
            wait=max(process.settings.submit_wait, 1.0),
            sealer=process.sealer,
        )

    def hooks(self) -> HookService:
        """Return the service for subscriptions and deliveries."""
        process = self._process
        return HookService(
            bus=process.bus,
            caller=self.caller,
            wait=max(process.settings.submit_wait, 1.0),
            sealer=process.sealer,
        )

    def leases(self) -> LeaseService:
        """Return the service for outside workers."""
        process = self._process
        return LeaseService(
            bus=process.bus,
            caller=self.caller,
            transfer=self.transfer(),
            wait=max(process.settings.submit_wait, 1.0),
            sealer=process.sealer,
            closing=self.closing,
        )

    def mail(self) -> MailService:
        """Return the service for mail."""
        process = self._process
        return MailService(bus=process.bus, caller=self.caller, wait=max(process.settings.submit_wait, 1.0))

    def logs(self) -> LogService:
        """Return the service for logs."""
        return LogService(bus=self._process.bus, archive=self.archive())

    def transfer(self) -> Transfer:
        """Return what moves bytes."""
        return Transfer(self._process.http)

    def archive(self) -> Archive:
        """Return what jobs left behind."""
        return Archive(bus=self._process.bus, transfer=self.transfer(), reader=self.caller.principal)

    def follower(self, workload: Workload, stream: Stream | None, position: Position) -> LogFollower:
        """Return what follows the output of one job."""
        return LogFollower(
            bus=self._process.bus,
            jobs=self.jobs(),
            archive=self.archive(),
            closing=self.closing,
            workload=workload,
            stream=stream,
            position=position,
        )

    def files(self) -> FileService:
        """Return the service for files."""
        process = self._process
        return FileService(bus=process.bus, caller=self.caller, wait=max(process.settings.submit_wait, 1.0))

    def streams(self) -> Streams:
        """Return what moves the bytes of files."""
        process = self._process
        return Streams(
            bus=process.bus,
            caller=self.caller,
            files=self.files(),
            transfer=self.transfer(),
            most=int(process.settings.most_spooled),
        )

    def shelves(self) -> ShelfService:
        """Return the service for rules of folders, usage and versions."""
        process = self._process
        return ShelfService(bus=process.bus, caller=self.caller, wait=max(process.settings.submit_wait, 1.0))

    def sharing(self) -> SharingService:
        """Return the service for grants."""
        process = self._process
        return SharingService(bus=process.bus, caller=self.caller, wait=max(process.settings.submit_wait, 1.0))

    def events(self) -> EventService:
        """Return the service for events."""
        process = self._process
        return EventService(bus=process.bus, principal=self.caller.principal, closing=self.closing)

    def usage(self) -> UsageService:
        """Return the service for usage."""
        return UsageService(bus=self._process.bus, caller=self.caller)

    def site(self) -> SiteService:
        """Return the service for what belongs to the whole site."""
        process = self._process
        return SiteService(bus=process.bus, caller=self.caller, wait=max(process.settings.submit_wait, 1.0))

    def operations(self) -> OperationsService:
        """Return the service for the operators' view; refuses those who are none."""
        process = self._process
        return OperationsService(bus=process.bus, caller=self.caller, health=process.health)

    def parked(self) -> ParkedService:
        """Return the service for parked messages; refuses those who are no operators."""
        return ParkedService(bus=self._process.bus, caller=self.caller)

    def users(self) -> UserService:
        """Return the service for users."""
        return UserService(self._process.identity, self.caller)

    def projects(self) -> ProjectService:
        """Return the service for projects."""
        return ProjectService(self._process.identity, self.caller)

    def tokens(self) -> TokenService:
        """Return the service for tokens."""
        return TokenService(self._process.identity, self.caller)

    def key_pairs(self) -> KeyPairService:
        """Return the service for key pairs."""
        return KeyPairService(self._process.identity, self.caller)

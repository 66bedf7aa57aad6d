"""What the scheduler has for pilots: every part, with those it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from contracts.pilots import PilotTerms, PilotTicket
from contracts.runs import RunTicket
from services.chassis.service import Frame
from services.chassis.tickets import Tickets
from services.scheduler.backends.registry import Backends
from services.scheduler.natives.cluster import Cluster
from services.scheduler.settings import BackendSettings, SchedulerSettings

from .archive import Archive, write_archive
from .callout import Callout
from .delivery import Delivery
from .desk import PilotDesk
from .issuer import Issuer, seed_of
from .launching import PilotLauncher
from .probing import PilotProbes
from .telling import Telling

__all__ = ["PilotParts"]


class PilotParts:
    """Everything about pilots. Making it starts nothing."""

    def __init__(self, frame: Frame, settings: SchedulerSettings, backends: Callable[[], Backends]) -> None:
        """*backends* returns those that are configured; they are made after this."""
        section = self._section = settings.scheduler.pilots
        self._nats = settings.nats.url
        self._backends = backends
        self._frame = frame
        self._folder = Path(settings.data).absolute() / "pilots"
        self.desk = PilotDesk(
            unit=frame.unit, tickets=Tickets(settings.ticket_key, PilotTicket), terms_of=self._terms_of
        )
        self._delivery = Delivery(
            bus=frame.bus,
            tickets=Tickets(settings.ticket_key, RunTicket),
            folder=self._folder,
            lives=section.file_lives,
        )
        self.launcher = PilotLauncher(
            archive=self._archive,
            url_of=self._delivery.url,
            token_of=self.desk.token,
            nats_url_of=self._nats_url_of,
            ca=section.ca_file.read_text() if section.ca_file else "",
        )
        self._settings = settings
        self.probes = PilotProbes(
            nats=settings.nats,
            desk=self.desk,
            clusters=lambda: [one.name for one in self._clusters()],
            issuer=lambda: self._issuer.public,
        )
        self._telling = Telling(unit=frame.unit, bus=frame.bus, clusters=self._clusters)

    async def run(self) -> None:
        """Answer NATS and tell pilots until cancelled."""
        callout = Callout(
            issuer=self._issuer,
            account=self._section.account,
            lives=self._section.credentials,
            admit=self.desk.admit,
        )
        await callout.start(self._frame.bus.connection)
        await self._telling.run()

    @cached_property
    def _issuer(self) -> Issuer:
        return Issuer(seed_of(self._section.seed, self._settings.ticket_key))

    async def _archive(self) -> Archive:
        return await asyncio.to_thread(write_archive, self._folder)

    def _clusters(self) -> list[Cluster]:
        return [backend.cluster for backend in self._backends().clusters]

    def _of(self, backend: str) -> BackendSettings | None:
        return next((one.settings for one in self._clusters() if one.name == backend), None)

    def _terms_of(self, backend: str) -> PilotTerms:
        found = self._of(backend)
        return self._section.terms.model_copy(update={"mpirun": found.starts_processes if found else ""})

    def _nats_url_of(self, backend: str) -> str:
        found = self._of(backend)
        return (found.nats_url if found else "") or self._section.nats_url or self._nats

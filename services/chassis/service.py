"""The frame of every service: opens what it stands on, serves until told to stop, finishes what it holds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.operations import Diagnosis
from contracts.queries import CheckHealth, Diagnose, Health

from .bus import Bus
from .connecting import until_it_answers
from .database import close_engine, make_engine, make_scanner
from .doctor import Doctor, probe_dependencies, probe_disk, probe_outbox, probe_schema
from .health import HealthBook, health_app
from .http import HTTP_GRACE, serve_http
from .migrations import ensure_schema
from .refill import Refill
from .relay import Relay, Sink
from .settings import ChassisSettings, Server
from .streams import declare_streams
from .telemetry import configure_logging
from .unit import EVENT_SINK, UnitOfWork, turn_for

__all__ = ["Frame", "open_frame", "serve_http", "stop_wish"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Frame:
    """What a service stands on. `unit`, `relay` and `engine` are for services that keep tables."""

    service: str
    settings: ChassisSettings
    bus: Bus
    health: HealthBook
    doctor: Doctor
    """Add probes of the service's own before `serve`."""
    engine: AsyncEngine | None = None
    scanner: AsyncEngine | None = None
    _unit: UnitOfWork | None = None
    _relay: Relay | None = None
    _refill: Refill | None = None
    sinks: dict[str, Sink] = field(default_factory=dict)
    """Where the outbox goes, beside the events; add before `serve`."""
    _ends: float | None = None
    """When all must be finished, by the loop's clock, once somebody wants us to stop."""

    @property
    def unit(self) -> UnitOfWork:
        """Return the unit of work of the service's database."""
        if self._unit is None:
            raise RuntimeError(f"{self.service} keeps no tables")
        return self._unit

    async def serve(
        self, server: Server, app: object | None = None, *, on_drain: Callable[[], None] = lambda: None
    ) -> None:
        """Handle messages and answer over HTTP until SIGTERM or SIGINT; then finish and return.

        The app is the service's own, or health, readiness and metrics; *on_drain* is called before the finishing.
        """
        # From the first message on somebody may be cut off in the middle: a signal is a wish from here on.
        stop = stop_wish()
        self.bus.answer_queries({CheckHealth: self._answer_health, Diagnose: self._answer_diagnose})
        self.bus.on_return.insert(0, self._heal_log)
        await _unless(stop, until_it_answers(self._heal_log, self.settings.nats))
        if stop.is_set():
            self.health.draining = True
            return
        if self._relay:
            await self._relay.start({EVENT_SINK: self.bus.send_row, **self.sinks})
        try:
            # Whoever hears from us over NATS finds an open door, also where others of our address lead to it.
            async with serve_http(app or health_app(self.health), server, after=self.bus.start):
                log.info("service.ready", port=server.port)
                await stop.wait()
                self.health.draining = True
                on_drain()
                log.info("service.draining")
                self._ends = asyncio.get_running_loop().time() + self.settings.drain
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(self._ends - min(HTTP_GRACE, self.settings.drain)):
                        # Clients that keep their connections hear with their next answer that this one ends.
                        await asyncio.gather(self.bus.stop_taking(), asyncio.sleep(self.settings.farewell))
        finally:
            await self.drain()
        log.info("service.stopped")

    async def _heal_log(self) -> None:
        """Have NATS keep what it should: it may have lost its store, or be restored from an older backup."""
        await declare_streams(self.bus.jetstream, self.settings.nats.replicas)
        if self._refill:
            await self._refill.look()

    async def drain(self) -> None:
        """Finish what is in hand and say what is in the outbox, however serving came to its end."""
        ends = self._ends or asyncio.get_running_loop().time() + self.settings.drain
        try:
            async with asyncio.timeout_at(ends):
                await self.bus.stop_taking()
                if self._relay:
                    await self._relay.stop()
        except TimeoutError:
            log.warning("service.drain_cut_short", seconds=self.settings.drain)

    def add_database(self, url: str, metadata: MetaData) -> None:
        """Stand on a database, whose schema is the present one."""
        self.engine = engine = make_engine(url)
        self.scanner = make_scanner(engine)
        turn = turn_for(engine)
        inbox, outbox = metadata.tables["inbox"], metadata.tables["outbox"]
        relay = self._relay = Relay(engine=engine, outbox=outbox, service=self.service, turn=turn)
        unit = self._unit = UnitOfWork(
            engine=engine,
            scanner=self.scanner,
            inbox=inbox,
            outbox=outbox,
            source=self.service,
            announce=relay.announce,
            doubt=relay.doubt,
            turn=turn,
        )
        self.bus.keep_refusals(unit)

        async def check() -> None:
            async with unit.looking_up() as connection:
                await connection.execute(text("SELECT 1"))

        self._refill = Refill(engine=engine, outbox=outbox, turn=turn, bus=self.bus, announce=relay.announce)
        self.health.add("database", check)
        self.doctor.add("outbox", probe_outbox(self.service, engine, outbox))
        self.doctor.add("schema", probe_schema(self.service, engine))

    async def _answer_health(self, _query: CheckHealth) -> Health:
        return await self.health.look()

    async def _answer_diagnose(self, _query: Diagnose) -> Diagnosis:
        return await self.doctor.look()


@asynccontextmanager
async def open_frame(
    service: str, settings: ChassisSettings, *, database_url: str | None = None, metadata: MetaData | None = None
) -> AsyncIterator[Frame]:
    """Connect to NATS and, for a service with tables, bring its database to the present schema."""
    configure_logging(settings.log, service)
    bus = Bus(settings.nats, service)
    health, doctor = HealthBook(service, {"nats": bus.check}), Doctor(service)
    doctor.add("dependencies", probe_dependencies(service, health.look), patience=3.5)
    doctor.add("disk", probe_disk(settings.data))
    frame = Frame(service, settings, bus, health, doctor)
    try:
        if database_url and metadata is not None:
            await ensure_schema(service, database_url)
            frame.add_database(database_url, metadata)
        await bus.connect()
        yield frame
    finally:
        await bus.stop()
        for engine in (frame.scanner, frame.engine):
            if engine is not None:
                await close_engine(engine)


async def _unless(stop: asyncio.Event, act: Coroutine[Any, Any, None]) -> None:
    """Do it, but not against the wish to stop."""
    doing, wish = asyncio.create_task(act), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, wish}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
    finally:
        for task in (doing, wish):
            task.cancel()
        await asyncio.gather(doing, wish, return_exceptions=True)


def stop_wish() -> asyncio.Event:
    """Return what SIGTERM or SIGINT will set, from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop

"""The frame of every service: opens what it stands on, serves until told to stop, finishes what it holds."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog
import uvicorn
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.queries import CheckHealth, Health

from .bus import Bus
from .database import make_engine, make_scanner
from .health import HealthBook, health_app
from .migrations import ensure_schema
from .relay import Relay, Sink
from .settings import ChassisSettings, Server
from .telemetry import configure_logging
from .unit import EVENT_SINK, UnitOfWork, turn_for

__all__ = ["Frame", "open_frame", "serve_http", "until_told_to_stop"]

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Frame:
    """What a service stands on. `unit`, `relay` and `engine` are for services that keep tables."""

    service: str
    settings: ChassisSettings
    bus: Bus
    health: HealthBook
    engine: AsyncEngine | None = None
    scanner: AsyncEngine | None = None
    _unit: UnitOfWork | None = None
    _relay: Relay | None = None
    sinks: dict[str, Sink] = field(default_factory=dict)
    """Where the outbox goes, beside the events; add before `serve`."""

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
        self.bus.answer_queries({CheckHealth: self._answer_health})
        if self._relay:
            await self._relay.start({EVENT_SINK: self.bus.send_row, **self.sinks})
        await self.bus.start()
        try:
            async with serve_http(app or health_app(self.health), server):
                log.info("service.ready", port=server.port)
                await until_told_to_stop()
                self.health.draining = True
                on_drain()
                log.info("service.draining")
                await self.bus.stop_taking()
        finally:
            await self.drain()
        log.info("service.stopped")

    async def drain(self) -> None:
        """Finish what is in hand and say what is in the outbox, however serving came to its end."""
        try:
            async with asyncio.timeout(self.settings.drain):
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
            turn=turn,
        )

        async def check() -> None:
            async with unit.reading() as connection:
                await connection.execute(text("SELECT 1"))

        self.health.add("database", check)

    async def _answer_health(self, _query: CheckHealth) -> Health:
        return await self.health.look()


@asynccontextmanager
async def open_frame(
    service: str, settings: ChassisSettings, *, database_url: str | None = None, metadata: MetaData | None = None
) -> AsyncIterator[Frame]:
    """Connect to NATS and, for a service with tables, bring its database to the present schema."""
    configure_logging(settings.log, service)
    bus = Bus(settings.nats, service)
    frame = Frame(service, settings, bus, HealthBook(service, {"nats": bus.check}))
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
                await engine.dispose()


@asynccontextmanager
async def serve_http(app: object, server: Server) -> AsyncIterator[None]:
    """Serve an ASGI app while the block runs, and give it a moment to finish at the end."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=server.host,
        port=server.port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=5,
        server_header=False,
        # Who asks from where is decided by the connection; what a header says of it proves nothing.
        proxy_headers=False,
    )
    listener = _listen(server)
    http = uvicorn.Server(config)
    http.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(http._serve(sockets=[listener]))  # noqa: SLF001 (`serve` would take our signals)
    try:
        while not http.started:
            if serving.done():
                serving.result()
                raise RuntimeError("the HTTP server ended before it began")
            await asyncio.sleep(0.01)
        yield
    finally:
        http.should_exit = True
        await serving
        listener.close()


def _listen(server: Server) -> socket.socket:
    # By ourselves, for uvicorn ends the whole process where the port is taken.
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    try:
        listener = socket.create_server((server.host, server.port), family=family, backlog=2048)
    except OSError as error:
        raise RuntimeError(f"could not listen on {server.host}:{server.port}: {error.strerror}") from error
    # Connections inherit it. asyncio sets it only on sockets that it made itself; without it each answer takes 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def until_told_to_stop() -> None:
    """Wait for SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()

"""What tests of the chassis stand on: a service's tables, a server that can be killed, commands to send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Column, Integer, String, Table, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.commands import CancelWorkload, Command
from contracts.envelope import Context, Envelope
from contracts.events import WorkloadCancelRequested, WorkloadMoved
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Principal
from contracts.states import Reason, WorkloadState
from contracts.subjects import subject_of
from deploy.local import servers
from services.chassis.bus import Bus, CommandHandler
from services.chassis.database import add_chassis_tables, close_engine, make_engine, new_metadata
from services.chassis.relay import Relay
from services.chassis.settings import NatsSettings
from services.chassis.unit import UnitOfWork, turn_for

from .databases import bring_empty
from .servers import free_ports

__all__ = [
    "INBOX",
    "METADATA",
    "NOTES",
    "OUTBOX",
    "Answer",
    "NatsProcess",
    "Stand",
    "cancel",
    "left",
    "moved",
    "open_bus",
    "open_stand",
    "read_events",
    "requested",
    "send",
    "serve",
    "settled",
    "until",
]

METADATA = new_metadata()
INBOX, OUTBOX = add_chassis_tables(METADATA)
NOTES = Table("notes", METADATA, Column("id", Integer, primary_key=True), Column("text", String(64)))


@dataclass(frozen=True, slots=True)
class Stand:
    """A small service's database with its unit of work and relay."""

    engine: AsyncEngine
    unit: UnitOfWork
    relay: Relay
    turn: AbstractAsyncContextManager[Any]

    async def count(self, table: Table) -> int:
        """Return how many rows a table has."""
        async with self.unit.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


@asynccontextmanager
async def open_stand(url: str, *, service: str = "scheduler") -> AsyncIterator[Stand]:
    """Open the database, with its tables made; the relay is started and stopped by the test."""
    await bring_empty(url)
    engine = make_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        turn = turn_for(engine)
        relay = Relay(engine=engine, outbox=OUTBOX, service=service, turn=turn)
        unit = UnitOfWork(engine=engine, inbox=INBOX, outbox=OUTBOX, source=service, announce=relay.announce, turn=turn)
        yield Stand(engine, unit, relay, turn)
    finally:
        await close_engine(engine)


@asynccontextmanager
async def open_bus(settings: NatsSettings, service: str, **options: Any) -> AsyncIterator[Bus]:
    """Connect a bus and stop it at the end."""
    bus = Bus(settings, service, **options)
    try:
        await bus.connect()
        yield bus
    finally:
        await bus.stop()


class NatsProcess:
    """A nats-server that can be killed and started again on the same port and folder."""

    def __init__(self, folder: Path, *, user: str = "", password: str = "") -> None:
        port, monitor = free_ports(2)
        self._log = folder / "nats.log"
        self._spec = servers.nats_server(folder / "nats", port=port, monitor_port=monitor, user=user, password=password)
        self.settings = NatsSettings(url=f"nats://127.0.0.1:{port}")
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = await servers.start(self._spec, self._log)

    async def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


def cancel(target: str | None = None, *, subject: str = "ann", message: str = "") -> CancelWorkload:
    """Build a small command."""
    return CancelWorkload(workload_id=target or workload_id(), principal=Principal(subject=subject), message=message)


def requested(target: str | None = None, *, revision: int = 1) -> WorkloadCancelRequested:
    """Build a small event."""
    return WorkloadCancelRequested(workload_id=target or workload_id(), owner="ann", revision=revision, at=now())


def moved(target: str, revision: int) -> WorkloadMoved:
    """Build an event that makes a revision."""
    states = {"old": WorkloadState.QUEUED, "new": WorkloadState.RUNNING}
    more = {"attempt": 1, "reason": Reason.STARTED, "at": now()}
    return WorkloadMoved(workload_id=target, owner="ann", revision=revision, **states, **more)


async def send(bus: Bus, command: CancelWorkload) -> str:
    """Publish a command as the gateway would, awaiting no answer; return its message id."""
    envelope = Envelope.wrap(command, Context.start("user:ann"), source="gateway", subject=command.target_id)
    await bus.publish(subject_of(command), envelope.to_bytes(), envelope.id)
    return envelope.id


class Answer(BaseModel):
    """What handlers here answer."""

    said: str


async def serve(bus: Bus, handler: CommandHandler, *, kind: type[Command] = CancelWorkload) -> None:
    """Begin to handle one kind of command."""
    bus.handle_commands({kind: handler})
    await bus.start()


async def settled(bus: Bus) -> None:
    """Wait until no command is left."""
    async with asyncio.timeout(10):
        while await left(bus):  # noqa: ASYNC110 (the server has no event for it)
            await asyncio.sleep(0.01)


async def read_events(bus: Bus, name: str = "") -> list[Envelope]:
    """Return all events of the log, oldest first; only those of one *name* if it is given."""
    last = (await bus.jetstream.stream_info("EVENTS")).state.last_seq
    found = [await bus.jetstream.get_msg("EVENTS", number, direct=True) for number in range(1, last + 1)]
    events = [Envelope.from_bytes(message.data or b"") for message in found]
    return [event for event in events if name in event.type]


async def left(bus: Bus, stream: str = "COMMANDS") -> int:
    """Return how many messages a stream holds."""
    return (await bus.jetstream.stream_info(stream)).state.messages


async def until(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 (conditions of several processes have no event)
            await asyncio.sleep(0.005)

"""A receiver of webhooks that answers as it is told, and somebody who keeps subscriptions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from contracts.command import Command
from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.hook_commands import (
    CreateSubscription,
    DeleteSubscription,
    PauseSubscription,
    Redeliver,
    ReplaceSubscription,
    ResumeSubscription,
    TestSubscription,
)
from contracts.hook_queries import GetDelivery, GetSubscription, ListDeliveries, ListSubscriptions
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.subjects import event_subject
from contracts.subscriptions import Delivery, Subscription, SubscriptionSpec
from services.chassis.bus import Bus
from services.chassis.reader import StreamReader
from services.chassis.sealing import Sealer
from services.scheduler.settings import SchedulerSettings, Webhooks
from tests.support.scheduler import ADA

__all__ = ["Got", "Hooker", "Receiver", "Says", "allowing", "facts", "run_receiver", "sealed"]


@dataclass(frozen=True, slots=True)
class Says:
    """What a receiver answers."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    pause: float = 0.0
    endless: bool = False
    """Whether the body has no end."""


@dataclass(frozen=True, slots=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """Return the CloudEvent."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def word(self) -> str:
        """Return what is told: the state, or the type."""
        data = self.event["data"]
        return str(data.get("new") or self.event["type"].split(".")[-2])


@dataclass
class Receiver:
    """Keeps what it got; *answer* says what to say."""

    answer: Callable[[Got], Says] = lambda _got: Says()
    got: list[Got] = field(default_factory=list)
    port: int = 0
    sent: int = 0
    """Bytes that were answered."""
    _open: set[asyncio.Task[Any]] = field(default_factory=set)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return where it listens."""
        return f"http://{host}:{self.port}{path}"

    def words(self, path: str | None = None) -> list[str]:
        """Return what was told, in order, each event once."""
        seen: dict[str, str] = {}
        for one in self.got:
            if path in {None, one.path}:
                seen.setdefault(one.event["id"], one.word)
        return list(seen.values())

    async def until(self, count: int, seconds: float = 30, path: str | None = None) -> list[Got]:
        """Wait until so many requests came."""
        async with asyncio.timeout(seconds):
            while True:
                found = [one for one in self.got if path in {None, one.path}]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.02)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        this = asyncio.current_task()
        assert this is not None
        self._open.add(this)
        # A task that ends as cancelled would be complained of by asyncio's streams.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                got = Got(head[0].split(" ")[1], headers, body)
                self.got.append(got)
                await self._say(self.answer(got), writer)
        self._open.discard(this)
        writer.transport.abort()  # an answer without end is never all sent

    async def hang_up(self) -> None:
        """Close every connection."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open)
        await asyncio.sleep(0)  # the transports hear of it in the next turn

    async def _say(self, says: Says, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(says.pause)
        length = [] if says.endless else [("content-length", str(len(says.body)))]
        lines = [f"HTTP/1.1 {says.status} X", *(f"{name}: {value}" for name, value in [*says.headers, *length])]
        writer.write("\r\n".join([*lines, "", ""]).encode() + says.body)
        while says.endless:
            writer.write(bytes(2**16))
            self.sent += 2**16
            await writer.drain()
        await writer.drain()


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver on a port of its own."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.hang_up()


def allowing(settings: SchedulerSettings, **webhooks: Any) -> SchedulerSettings:
    """Let a scheduler send to this machine, and try again soon."""
    given: dict[str, Any] = {
        "allow": ["127.0.0.1", "localhost"],
        "http": True,
        "ports": [],
        "networks": ["127.0.0.0/8", "::1/128"],
        "first_pause": 0.2,
        "look": 0.5,
        **webhooks,
    }
    settings.scheduler.webhooks = Webhooks.model_validate(given)
    return settings


def sealed(secret: str) -> str:
    """Return a secret as the gateway of the tests' site seals it."""
    return Sealer(SecretStr("k" * 40)).seal(secret)


class Hooker:
    """Sends what the gateway would send about subscriptions."""

    def __init__(self, bus: Bus, principal: Principal = ADA) -> None:
        self._bus = bus
        self._principal = principal

    async def _order(self, command: Command, answer: Any = Subscription) -> Any:
        context = Context.start(f"user:{self._principal.subject}")
        return await self._bus.order(command, context, wait=15, answer=answer)

    async def create(self, subscription_id: str | None = None, request_hash: str = "", **spec: Any) -> Subscription:
        """Make a subscription."""
        found: Subscription = await self._order(
            CreateSubscription(
                subscription_id=subscription_id or workload_id("sub"),
                principal=self._principal,
                spec=SubscriptionSpec.model_validate(spec),
                request_hash=request_hash,
            )
        )
        return found

    async def replace(self, subscription_id: str, revision: int | None = None, **spec: Any) -> Subscription:
        """Change it."""
        found: Subscription = await self._order(
            ReplaceSubscription(
                subscription_id=subscription_id,
                principal=self._principal,
                spec=SubscriptionSpec.model_validate(spec),
                revision=revision,
            )
        )
        return found

    async def steer(
        self,
        kind: type[PauseSubscription | ResumeSubscription | DeleteSubscription],
        subscription_id: str,
    ) -> Subscription:
        """Pause, resume or delete it."""
        found: Subscription = await self._order(kind(subscription_id=subscription_id, principal=self._principal))
        return found

    async def test(self, subscription_id: str) -> Delivery:
        """Have a ping sent."""
        command = TestSubscription(subscription_id=subscription_id, principal=self._principal)
        found: Delivery = await self._order(command, Delivery)
        return found

    async def redeliver(self, delivery_id: str) -> Delivery:
        """Send a dead letter again."""
        command = Redeliver(delivery_id=delivery_id, principal=self._principal)
        found: Delivery = await self._order(command, Delivery)
        return found

    async def get(self, subscription_id: str) -> Subscription:
        """Look at one."""
        query = GetSubscription(principal=self._principal, subscription_id=subscription_id)
        found: Subscription = await self._bus.ask(query)
        return found

    async def all(self) -> list[Subscription]:
        """Look at all."""
        found = (await self._bus.ask(ListSubscriptions(principal=self._principal))).items
        return list(found)

    async def delivery(self, delivery_id: str) -> Delivery:
        """Look at a delivery."""
        found: Delivery = await self._bus.ask(GetDelivery(principal=self._principal, delivery_id=delivery_id))
        return found

    async def deliveries(self, **wanted: Any) -> list[Delivery]:
        """Look at some."""
        found = (await self._bus.ask(ListDeliveries(principal=self._principal, limit=1000, **wanted))).items
        return list(found)

    async def until(self, count: int, seconds: float = 30, **wanted: Any) -> list[Delivery]:
        """Wait until there are so many."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(UnavailableError):
                    if len(found := await self.deliveries(**wanted)) >= count:
                        return found
                await asyncio.sleep(0.05)


async def facts(bus: Bus, noun: str, count: int) -> list[str]:
    """Return what the log says of something, once there are *count* of it: the relay says it after the commit."""
    async with asyncio.timeout(20):
        while True:
            async with StreamReader(bus, "EVENTS", [event_subject(noun)], start=1) as reader:
                found = [entry.subject.split(".")[2] for entry in await reader.read(wait=0)]
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)

"""A durable pull consumer: takes as many messages as it has hands, and goes on at once when NATS comes back."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from .streams import declare_streams

__all__ = ["Consumer"]

_LATE = 1.0
"""Seconds past its end after which a request that nobody answered counts as lost."""
_ALIVE_EVERY = 1.5
"""Seconds between two signs to the server that a long handler still works."""
_ACK_WAIT = 5.0
"""Seconds without such a sign after which the server gives the message to somebody else: what a killed process held,
or what was acknowledged to a server that was killed."""
_GRACE = 15.0
"""Seconds that a stop waits for what is in hand."""
_LONGEST = 30.0
"""Seconds before another try with a message that cannot even be settled, at most."""
_RECOVER = 0.5
"""Seconds before another try when the consumer or its stream is missing."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Request:
    ends: float
    left: int
    """Messages that it may still bring."""


class Consumer:
    """Hands each message of a stream that fits one of *subjects* to *handle*, which settles it; *workers* at a time."""

    def __init__(
        self,
        *,
        stream: str,
        subjects: Sequence[str],
        durable: str,
        handle: Callable[[Msg], Awaitable[None]],
        workers: int,
        ack_wait: float = _ACK_WAIT,
        alive_every: float = _ALIVE_EVERY,
        replicas: int = 1,
        expires: float = 30.0,
    ) -> None:
        """*expires*: seconds that one request for messages lies at the server."""
        self._stream = stream
        self._durable = durable
        self._handle = handle
        self._workers = workers
        self._alive_every = alive_every
        self._replicas = replicas
        self._expires = expires
        self._config = ConsumerConfig(
            name=durable,
            durable_name=durable,
            filter_subjects=list(subjects),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            # Settlement parks what fails; the server itself never gives up.
            max_deliver=-1,
            # One worker means: in order, also when a message must be tried again.
            max_ack_pending=1 if workers == 1 else max(256, workers),
            deliver_policy=DeliverPolicy.ALL,
        )
        self._in_hand: dict[asyncio.Task[None], Msg] = {}
        self._requests: deque[_Request] = deque()
        self._wake = asyncio.Event()
        self._missing = False
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def declare(self, jetstream: JetStreamContext) -> None:
        """Make it at the server, unless it is there."""
        await jetstream.add_consumer(self._stream, self._config)

    async def start(self, client: Client, jetstream: JetStreamContext) -> None:
        """Begin to take messages; it was declared."""
        self._client = client
        self._jetstream = jetstream
        self._inbox = client.new_inbox()
        self._subscription: Subscription = await client.subscribe(self._inbox, cb=self._take)
        self._tasks = [asyncio.create_task(self._forever(part)) for part in (self._ask, self._say_alive)]

    def resume(self) -> None:
        """Ask again: NATS was away and has forgotten what was asked."""
        self._requests.clear()
        self._wake.set()

    async def stop(self) -> None:
        """Take nothing more and finish what is in hand; what arrives meanwhile is handed back."""
        if self._stopping or not self._tasks:
            return
        self._stopping = True
        asking, alive = self._tasks
        asking.cancel()
        with suppress(nats.errors.Error, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._subscription.drain()  # type: ignore[no-untyped-call]
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=_GRACE)
        for task in (alive, *self._in_hand):
            task.cancel()
        await asyncio.gather(asking, alive, *self._in_hand, return_exceptions=True)

    async def _forever(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await part()
            except Exception as error:  # noqa: BLE001 (NATS is away or the like: nothing may end this loop)
                log.warning("consumer.trouble", durable=self._durable, error=repr(error))
                await asyncio.sleep(_RECOVER)

    async def _ask(self) -> None:
        if self._missing:
            await self._recover()
        now = time.monotonic()
        while self._requests and (self._requests[0].left <= 0 or self._requests[0].ends + _LATE < now):
            self._requests.popleft()
        asked = sum(request.left for request in self._requests)
        free = self._workers - len(self._in_hand) - asked
        if free > 0 and (not asked or free * 2 >= self._workers):
            await self._request(free, now)
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._expires + _LATE):
                await self._wake.wait()

    async def _request(self, count: int, now: float) -> None:
        body = json.dumps({"batch": count, "expires": int(self._expires * 1e9)}).encode()
        self._requests.append(_Request(now + self._expires, count))
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._durable}", body, self._inbox)

    async def _recover(self) -> None:
        # Somebody removed the consumer, or the stream with it: make both again.
        await asyncio.sleep(_RECOVER)
        await declare_streams(self._jetstream, self._replicas)
        await self.declare(self._jetstream)
        self._missing = False

    async def _take(self, message: Msg) -> None:
        if not message.reply:
            self._end_request(message.headers or {})
        elif self._stopping:
            await message.nak()
        else:
            if self._requests:
                self._requests[0].left -= 1
                if self._requests[0].left <= 0:
                    self._requests.popleft()
            task = asyncio.create_task(self._work(message))
            self._in_hand[task] = message
            task.add_done_callback(self._done)

    def _end_request(self, status: dict[str, str]) -> None:
        """Read why the server ends a request: it has expired, or its consumer is missing or moves."""
        if status.get("Status") == "408":
            if self._requests:
                self._requests.popleft()
        elif status.get("Status") != "100":
            log.info("consumer.interrupted", durable=self._durable, why=status.get("Description", "no answer"))
            self._requests.clear()
            self._missing = True
        self._wake.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._in_hand.pop(task, None)
        self._wake.set()

    async def _work(self, message: Msg) -> None:
        try:
            await self._handle(message)
        except Exception:
            # The settlement itself could not be done, most likely because NATS is away.
            log.exception("consumer.unsettled", durable=self._durable, subject=message.subject)
            with suppress(nats.errors.Error):
                await message.nak(delay=min(_LONGEST, _RECOVER * 2 ** min(message.metadata.num_delivered, 10)))

    async def _say_alive(self) -> None:
        await asyncio.sleep(self._alive_every)
        for message in list(self._in_hand.values()):
            with suppress(nats.errors.Error):
                await message.in_progress()

"""Reads a stream in order, each message once, however often NATS goes away in between."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import nats.errors
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, ServiceUnavailableError

from contracts.errors import UnavailableError
from contracts.ids import message_id

from .bus import Bus
from .errors import translated
from .leading import until_led

__all__ = ["Entry", "StreamReader"]

_BATCH = 64
_BATCH_BYTES = 4 * 2**20
"""A reader holds about so much at a time, however slow its listener is."""
_LINGER = 25.0
"""Seconds that one request for the next message stays with the server."""
_ANSWER_WITHIN = 5.0
_LOOK_EVERY = 0.5
"""Seconds after which a silent connection is looked at."""
_FORGOTTEN_AFTER = 60.0
"""Seconds after which the server drops the place of a reader that never said goodbye."""

_NOBODY_LEADS = "503"

_GONE = (nats.errors.Error, APIError, TimeoutError, ConnectionError)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message of a stream."""

    sequence: int
    subject: str
    data: bytes
    headers: Mapping[str, str]


class StreamReader:
    """A place in a stream. It pulls, so a slow listener slows the reading down and fills no memory."""

    def __init__(
        self, bus: Bus, stream: str, subjects: Sequence[str], *, start: int | datetime | None, batch: int = _BATCH
    ) -> None:
        """Begin at a sequence, at a time, or (None) with what comes next."""
        self._bus = bus
        self._stream = stream
        self._subjects = list(subjects)
        self._start = start
        self._batch = batch
        self._name = ""
        self._inbox = ""
        self._requests = 0
        self._delivered = 0
        self._reconnects = 0
        self._lingers_until = 0.0
        self._subscription: Subscription | None = None
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    @property
    def place(self) -> int:
        """Return the sequence that comes next, 0 while the start is a time."""
        return self._start if isinstance(self._start, int) else 0

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def wake(self) -> None:
        """End the waiting of `read`."""
        self._arrived.put_nowait(None)

    async def pause(self, seconds: float) -> None:
        """Wait, unless woken."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._arrived.get()

    async def read(self, *, wait: float) -> list[Entry]:
        """Return what is there; wait for the first up to *wait* seconds. Nothing means: no more is kept now.

        Raises `UnavailableError` while NATS is away; the next call goes on where this one was.
        """
        try:
            if self._subscription is None:
                await self._open()
            # A request that lingers was made when nothing was there; what came since is found by a new one.
            if not self._lingers_until or wait <= 0:
                entries: list[Entry] = await until_led()(self._fetch)
                if entries:
                    self._lingers_until = 0.0
                    return entries
                if wait <= 0:
                    return []
                linger = min(_LINGER, self._bus.longest_request)
                await self._request(batch=1, expires=int(linger * 1e9))
                self._lingers_until = time.monotonic() + linger + 2.0
            return await self._linger(wait)
        except UnavailableError:
            await self._close()
            raise
        except _GONE as error:
            await self._close()
            raise UnavailableError(f"NATS does not answer: {type(error).__name__}", retry_after=2.0) from error

    async def _fetch(self) -> list[Entry]:
        mine = await self._request(batch=self._batch, max_bytes=_BATCH_BYTES, no_wait=True)
        entries: list[Entry] = []
        woken = False
        while len(entries) < self._batch:
            message = await self._next(_ANSWER_WITHIN)
            if message is None:
                woken = True
            elif status := _status(message):
                if message.subject == mine:
                    _check(status, message)
                    break
            else:
                pending = self._take(message, entries)
                if not pending:
                    break
        if woken:
            self.wake()
        return entries

    async def _linger(self, wait: float) -> list[Entry]:
        entries: list[Entry] = []
        left = min(wait, self._lingers_until - time.monotonic())
        try:
            message = await self._next(left)
        except TimeoutError:
            if time.monotonic() >= self._lingers_until:
                self._lingers_until = 0.0
            return []
        if message is None:
            return []
        status = _status(message)
        if status and message.subject != self._last_request:
            return []
        self._lingers_until = 0.0
        if status:
            _check(status, message)
        else:
            self._take(message, entries)
        return entries

    async def _next(self, seconds: float) -> Any:
        """Return what arrives next; a connection that was renewed has lost what was on its way."""
        ends = time.monotonic() + seconds
        while True:
            try:
                async with asyncio.timeout(min(_LOOK_EVERY, max(ends - time.monotonic(), 0.0))):
                    return await self._arrived.get()
            except TimeoutError:
                if self._bus.connection.stats["reconnects"] != self._reconnects:
                    raise nats.errors.Error("the connection was renewed") from None
                if time.monotonic() >= ends:
                    raise

    def _take(self, message: Any, entries: list[Entry]) -> int:
        """Add a message; return how many more there are. One that got lost on the way starts the reading anew."""
        metadata = message.metadata
        if metadata.sequence.consumer != self._delivered + 1:
            raise nats.errors.Error("a message was lost on the way")
        self._delivered += 1
        self._start = metadata.sequence.stream + 1
        entries.append(Entry(metadata.sequence.stream, message.subject, message.data, message.headers or {}))
        return int(metadata.num_pending)

    @property
    def _last_request(self) -> str:
        return f"{self._inbox}.{self._requests}"

    async def _request(self, **wish: object) -> str:
        self._requests += 1
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        await self._bus.connection.publish(subject, json.dumps(wish).encode(), reply=self._last_request)
        return self._last_request

    async def _open(self) -> None:
        jetstream = self._bus.jetstream
        self._reconnects = self._bus.connection.stats["reconnects"]
        with translated("NATS"):
            if self._start is None:
                self._start = (await jetstream.stream_info(self._stream)).state.last_seq + 1
            self._name = f"reader-{message_id()}"
            await self._declare(jetstream)
            self._inbox = self._bus.connection.new_inbox()
            self._arrived = asyncio.Queue()
            self._delivered = 0
            self._lingers_until = 0.0
            arrived = self._arrived

            async def arrive(message: Any) -> None:
                arrived.put_nowait(message)

            self._subscription = await self._bus.connection.subscribe(f"{self._inbox}.*", cb=arrive)

    async def _declare(self, jetstream: JetStreamContext) -> None:
        from_time = isinstance(self._start, datetime)
        config = ConsumerConfig(
            name=self._name,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_TIME if from_time else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_time=self._start if isinstance(self._start, datetime) else None,
            opt_start_seq=max(self._start, 1) if isinstance(self._start, int) else None,
            filter_subject=self._subjects[0] if len(self._subjects) == 1 else None,
            filter_subjects=self._subjects if len(self._subjects) > 1 else None,
            mem_storage=True,
            inactive_threshold=_FORGOTTEN_AFTER,
        )
        await jetstream.add_consumer(self._stream, config)

    async def _close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is None:
            return
        with suppress(*_GONE):
            await subscription.unsubscribe()
            # Said, not asked: a listener that went away leaves no time to wait for answers.
            subject = f"$JS.API.CONSUMER.DELETE.{self._stream}.{self._name}"
            await self._bus.connection.publish(subject, reply=f"{self._inbox}.end")


def _status(message: Any) -> str | None:
    headers = message.headers
    return headers.get("Status") if headers else None


def _check(status: str, message: Any) -> None:
    """Pass over the ends of a request; raise where the reader's place is gone."""
    if status == _NOBODY_LEADS:
        raise ServiceUnavailableError(503)
    ended = status in {"404", "408"} or (status == "409" and "Deleted" not in str(message.headers))
    if not ended:
        raise nats.errors.Error(f"the stream answers {status}")

"""Takes tasks from the queue that all runners of a backend share."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress

import nats.errors
import nats.js.errors
import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig
from pydantic import ValidationError

from contracts.envelope import Context, Envelope, is_message_id
from contracts.events import MessageParked
from contracts.runs import RunTask
from contracts.subjects import subject_of, task_subject

from .link import AWAY, Link

__all__ = ["Queue", "TaskQueue"]

_STREAM = "TASKS"
_ACK_WAIT = 5.0
"""Seconds after which a task goes to another runner if the one that got it does not say that it keeps it."""
_KEPT = 2**20
"""Bytes that are kept of what is no task."""
_AGAIN = 0.5
"""Seconds before another try when the stream or NATS is away."""

log = structlog.get_logger(__name__)


class TaskQueue(ABC):
    """Where a runner's tasks come from."""

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether tasks can come."""

    @abstractmethod
    def start(self) -> None:
        """Begin to take."""

    @abstractmethod
    def want(self, more: bool) -> None:
        """Say whether another task is welcome now."""

    @abstractmethod
    async def stop(self) -> None:
        """Take no more; what was sent to us meanwhile goes back."""

    @abstractmethod
    async def withdraw(self, workload_id: str, attempt: int) -> RunTask | None:
        """Take one certain task out of the queue, if it is still there."""


class Queue(TaskQueue):
    """Hands one task after another to *take*, which keeps it; only then is it acknowledged."""

    def __init__(self, *, link: Link, backend: str, take: Callable[[RunTask], None]) -> None:
        self._link = link
        self._backend = backend
        self._take = take
        self._subscription: JetStreamContext.PullSubscription | None = None
        self._running: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[list[Msg]] | None = None
        self._acknowledging: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._wanted.set()
        link.on_return(self._ask_again)

    @property
    def is_ready(self) -> bool:
        """Say whether tasks can come."""
        return self._subscription is not None and self._link.is_up

    def start(self) -> None:
        """Begin to take."""
        self._running = asyncio.create_task(self._run())

    def want(self, more: bool) -> None:
        """Say whether another task is welcome now."""
        if more:
            self._wanted.set()
        else:
            self._wanted.clear()

    async def stop(self) -> None:
        """Take no more; what was sent to us meanwhile goes back."""
        if self._running:
            await _end(self._running)
        if self._acknowledging:
            await asyncio.wait(self._acknowledging, timeout=1)
        for acknowledging in self._acknowledging:
            acknowledging.cancel()
        subscription, self._subscription = self._subscription, None
        if subscription:
            with suppress(*AWAY):
                async with asyncio.timeout(1):
                    for message in await self._left_over(subscription):
                        await message.nak()
                    await subscription.unsubscribe()

    async def withdraw(self, workload_id: str, attempt: int) -> RunTask | None:
        """Take one certain task out of the queue, if it is still there."""
        subject = task_subject(self._backend, workload_id, attempt)
        stream = self._link.jetstream
        try:
            found = await stream.get_last_msg(_STREAM, subject)
            if not found.seq or not await stream.delete_msg(_STREAM, found.seq):
                return None
        except AWAY:
            return None
        return _read(found.data or b"")

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            await self._link.until_up()
            try:
                if self._subscription is None:
                    self._subscription = await self._subscribe()
                    log.info("queue.ready", backend=self._backend)
                await self._take_one(self._subscription)
            except (nats.errors.TimeoutError, TimeoutError):
                continue
            except AWAY as error:
                log.info("queue.away", error=f"{type(error).__name__}: {error}")
                self._subscription = None
                await asyncio.sleep(_AGAIN)
            except Exception:
                log.exception("queue.failed")
                await asyncio.sleep(_AGAIN)

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        durable = f"runner-{self._backend}"
        subject = task_subject(self._backend, ">").removesuffix(".*")
        config = ConsumerConfig(
            ack_policy=AckPolicy.EXPLICIT, ack_wait=_ACK_WAIT, max_deliver=-1, max_ack_pending=10_000
        )
        return await self._link.jetstream.pull_subscribe(subject, durable=durable, stream=_STREAM, config=config)

    async def _take_one(self, subscription: JetStreamContext.PullSubscription) -> None:
        self._fetching = asyncio.create_task(subscription.fetch(1, timeout=self._link.longest_request))
        try:
            (message,) = await self._fetching
        except asyncio.CancelledError:
            if self._fetching.cancelled() and not _is_cancelled():
                # The connection broke and came back; what was asked for is forgotten on the other side.
                return
            self._fetching.cancel()
            raise
        task = _read(message.data)
        if task is None or message.subject != task_subject(self._backend, task.workload_id, task.attempt):
            await self._park(message, "no task that this runner understands")
            return
        self._take(task)
        acknowledging = asyncio.create_task(self._acknowledge(message))
        self._acknowledging.add(acknowledging)
        acknowledging.add_done_callback(self._acknowledging.discard)

    async def _park(self, message: Msg, error: str) -> None:
        """Take what is no task out of the queue, keep it for an operator, and say so."""
        place = message.metadata
        sequence = place.sequence.stream
        header = (message.headers or {}).get("Nats-Msg-Id", "")
        parked = MessageParked(
            service="runner",
            stream=_STREAM,
            subject=message.subject,
            sequence=sequence,
            deliveries=place.num_delivered,
            message_id=header if is_message_id(header) else f"{_STREAM}-{sequence}",
            error=error,
        )
        context = Context.start("service:runner")
        name = f"parked-{_STREAM}-{sequence}"
        envelope = Envelope.wrap(parked, context, source="runner", subject=parked.subject_id, id=f"{name}-event")
        stream = self._link.jetstream
        await stream.publish(f"parked.runner.{message.subject}", message.data[:_KEPT], headers={"Nats-Msg-Id": name})
        await stream.publish(subject_of(parked), envelope.to_bytes(), headers={"Nats-Msg-Id": envelope.id})
        await message.term()

    @staticmethod
    async def _acknowledge(message: Msg) -> None:
        """Say that we keep it, until the queue has heard: else another runner would run it too."""
        while True:
            try:
                await message.ack_sync(timeout=1)
            except AWAY:
                await asyncio.sleep(_AGAIN)
            else:
                return

    def _ask_again(self) -> None:
        if self._fetching:
            self._fetching.cancel()

    @staticmethod
    async def _left_over(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
        try:
            return [message for message in await subscription.fetch(1, timeout=0.01) if message.reply]
        except (nats.errors.TimeoutError, TimeoutError):
            return []


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it heeds: the client swallows a cancel that meets the loss of its connection."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.2)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return bool(task and task.cancelling())


def _read(raw: bytes) -> RunTask | None:
    try:
        return RunTask.model_validate_json(raw, extra="ignore")
    except ValidationError as error:
        log.warning("task.unreadable", detail=str(error)[:500])
        return None

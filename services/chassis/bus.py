"""The bus: commands, queries and events over NATS, by FastStream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from functools import cache, partial
from typing import Any

import nats.errors
import structlog
from faststream.nats import NatsBroker, NatsMessage
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from pydantic import TypeAdapter
from pydantic_core import to_json

from contracts.commands import NO_TARGET, Command
from contracts.envelope import Context, Envelope, type_of
from contracts.errors import ShunterError, TooLargeError, UnavailableError, error_of
from contracts.events import Event
from contracts.queries import Query, Reply
from contracts.subjects import STREAMS, command_filter, order_subject, query_subject, subject_of

from .acks import Acks
from .answers import FOR_HEADERS, Answers, QueryHandler, answer_of, refused, reply, written
from .connecting import require_nats, until_heard_out, until_it_answers
from .consumer import Consumer
from .delivery import MESSAGE_ID, CommandHandler, Delivery, delivery_of, direct_delivery
from .direct import NOT_DONE, Direct
from .errors import translated
from .leading import until_heard
from .refusing import Refusals
from .settings import NatsSettings
from .settlement import PAUSES, Settlement
from .streams import declare_streams
from .telemetry import bind_context
from .unit import OutboxRow, UnitOfWork

__all__ = ["REPLY_TO", "Bus", "CommandHandler", "Delivery", "EventHandler", "QueryHandler"]

REPLY_TO = "Shunter-Reply-To"
"""The header of a command that names where its answer is awaited; JetStream uses the ordinary one itself."""

_KEPT_WITHIN = 5.0
"""Seconds that JetStream has to say that it keeps a message."""
_GOODBYE = 1.0
"""Seconds that each step of leaving NATS may take."""
_LINES = 10_000
"""Locks of targets that are kept before those that nobody holds are forgotten."""

log = structlog.get_logger(__name__)


EventHandler = Callable[[Envelope, Delivery], Awaitable[None]]
RawHandler = Callable[[bytes, Delivery], Awaitable[None]]
_Handle = Callable[[Msg, Delivery], Awaitable[None]]


class Bus:
    """One connection of one service."""

    def __init__(self, settings: NatsSettings, service: str, *, pauses: Sequence[float] = PAUSES) -> None:
        self.service = service
        self._settings = settings
        self.broker = NatsBroker(
            settings.url,
            security=_security(settings),
            name=service,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # nats-py only sleeps by it
            ping_interval=20,
            reconnected_cb=self._resume,
            graceful_timeout=15.0,
            apply_types=False,
            decoder=_as_it_is,
            logger=None,
        )
        self._settlement = Settlement(service=service, publish=self.publish, announce=self.announce, pauses=pauses)
        self._refusals = Refusals(service=service, announce=self.announce)
        self.longest_request = settings.longest_request
        self._consumers: list[Consumer] = []
        self._stopping = False
        self._answers = Answers(service)
        self.crowd = self._answers.crowd
        """Those who wait for an answer of ours."""
        self._acks = Acks(within=_KEPT_WITHIN)
        self._lines: dict[str, asyncio.Lock] = {}
        self._awaited: dict[str, asyncio.Future[bytes]] = {}
        self._direct = Direct()
        self.on_return: list[Callable[[], Awaitable[object]]] = []
        """Called, each for itself, when NATS was away and is back, maybe with another store."""
        self._returning: set[asyncio.Task[None]] = set()

    def keep_refusals(self, unit: UnitOfWork) -> None:
        """Have the commands that are refused written down, so that none is obeyed when its message comes again."""
        self._refusals.unit = unit

    # --- connection -------------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect and declare the streams; subscribers begin with `start`. Raises if NATS is away or refuses us."""
        await require_nats(self._settings)
        await self.broker.connect()
        await until_it_answers(lambda: declare_streams(self.jetstream, self._settings.replicas), self._settings)
        await self._acks.start(self.connection)
        await self._direct.start(self.connection)
        self._inbox = self.connection.new_inbox()
        await self.connection.subscribe(f"{self._inbox}.*", cb=self._take_answer)

    async def start(self) -> None:
        """Begin to handle messages."""
        await self.broker.start()
        await self._answers.start(self.connection)
        # A cluster that just elects who leads a stream does not answer; it will.
        await until_it_answers(self._declare_consumers, self._settings)
        await asyncio.gather(*(consumer.start(self.connection, self.jetstream) for consumer in self._consumers))
        # The server has heard of all our subscriptions before anybody is told that we are ready.
        await until_it_answers(lambda: until_heard_out(self.connection), self._settings)

    async def _declare_consumers(self) -> None:
        await asyncio.gather(*(consumer.declare(self.jetstream) for consumer in self._consumers))

    async def stop_taking(self) -> None:
        """Take no new message and finish those in hand; once, for who was cut short has no more time either."""
        if self._stopping:
            return
        self._stopping = True
        with suppress(nats.errors.Error):
            await asyncio.gather(*(consumer.stop() for consumer in self._consumers), self._answers.stop())

    async def stop(self) -> None:
        """Finish what is in hand, then close; a NATS that is away or hangs is not waited for."""
        await self.stop_taking()
        state = self.broker.config.broker_config.connection_state
        connection = self.connection if state else None
        try:
            async with asyncio.timeout(_GOODBYE):
                await self.broker.stop()
        except (nats.errors.Error, TimeoutError) as error:
            # NATS is away: there is nobody to say goodbye to.
            log.warning("bus.stopped_without_nats", error=repr(error))
        if connection is not None and not connection.is_closed:
            with suppress(OSError, TimeoutError):  # nats-py writes what it still holds to the lost socket
                async with asyncio.timeout(_GOODBYE):
                    await connection.close()

    async def _resume(self) -> None:
        log.info("bus.reconnected")
        self._direct.give_up()
        for consumer in self._consumers:
            consumer.resume()
        for act in self.on_return:
            task = asyncio.create_task(_patiently(act))
            self._returning.add(task)
            task.add_done_callback(self._returning.discard)

    @property
    def connection(self) -> Client:
        """Return the NATS connection, for what FastStream does not cover (ordered readers, plain subscriptions)."""
        return self.broker.config.broker_config.connection_state.connection

    @property
    def jetstream(self) -> JetStreamContext:
        """Return the JetStream context of the connection."""
        return self.broker.config.broker_config.connection_state.stream

    async def check(self) -> None:
        """Raise `UnavailableError` unless NATS and its streams answer."""
        if not self.connection.is_connected:
            raise UnavailableError("the connection to NATS is lost", retry_after=2.0)
        with translated("NATS"):
            await self.jetstream.stream_info(STREAMS[0].name)

    # --- saying -----------------------------------------------------------------------------------------------

    async def publish(
        self, subject: str, payload: bytes, message_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Publish into a stream and wait until it is kept; the same *message_id* twice is kept once.

        Raises `TooLargeError` for what NATS would not take: it hangs up on whoever sends it.
        """
        self._require_room(len(payload))
        with translated("NATS"):
            await self._acks.publish(subject, payload, {MESSAGE_ID: message_id, **(headers or {})})

    async def send_row(self, row: OutboxRow) -> None:
        """Say a row of the outbox; the relay's sink for events."""
        await self.publish(row.subject, row.payload, row.id)

    async def announce(self, event: Event, context: Context, *, event_id: str | None = None) -> None:
        """Publish an event that goes past the tables; under one *event_id* it is kept once."""
        envelope = Envelope.wrap(event, context, source=self.service, subject=event.subject_id, id=event_id)
        await self.publish(subject_of(event), envelope.to_bytes(), envelope.id)

    async def order(self, command: Command, context: Context, *, wait: float, answer: Any) -> Any:
        """Publish a command durably and wait for its answer; None when none came in *wait* seconds.

        Raises whatever the service refuses it with, and `UnavailableError` if the command could not be kept.
        """
        raw = await self._order(command, context, wait)
        return None if raw is None else _read_reply(raw, answer)

    async def order_json(self, command: Command, context: Context, *, wait: float) -> bytes | None:
        """Do the same, and return the answer as the service wrote it."""
        raw = await self._order(command, context, wait)
        return None if raw is None else _json_of(raw)

    async def _order(self, command: Command, context: Context, wait: float) -> bytes | None:
        envelope, payload = Envelope.write(command, context, source=self.service, subject=command.target_id)
        # The event that tells of it, and the record, say all that and more.
        self._require_room(2 * len(payload))
        ends = time.monotonic() + wait
        if wait > 0 and command.is_direct:
            # Twice is once: its handlers know its id, whichever way it comes.
            raw = await self._direct.ask(order_subject(type(command)), payload, within=wait)
            if raw != NOT_DONE:
                return raw
        if (left := ends - time.monotonic()) <= 0:
            await self.publish(subject_of(command), payload, envelope.id)
            return None
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._awaited[envelope.id] = got
        reply_to = {REPLY_TO: f"{self._inbox}.{envelope.id}"}
        try:
            await self.publish(subject_of(command), payload, envelope.id, reply_to)
            async with asyncio.timeout(left):
                return await got
        except TimeoutError:
            return None
        finally:
            del self._awaited[envelope.id]

    def _require_room(self, size: int) -> None:
        if size > (most := self.connection.max_payload - FOR_HEADERS):
            raise TooLargeError(f"what is asked makes a message of {size} bytes, {most} at most go through")

    async def _take_answer(self, message: Msg) -> None:
        got = self._awaited.get(message.subject.rpartition(".")[2])
        if got is not None and not got.done():
            got.set_result(message.data)

    async def ask(self, query: Query, *, service: str | None = None, timeout: float = 10.0) -> Any:
        """Ask the owner of some data; raises what it refuses with, `UnavailableError` when nobody answers."""
        return _read_reply(await self._ask(query, service, timeout), query.answer)

    async def ask_json(self, query: Query, *, timeout: float = 10.0) -> bytes:
        """Do the same, and return the answer as its owner wrote it."""
        return _json_of(await self._ask(query, None, timeout))

    async def _ask(self, query: Query, service: str | None, timeout: float) -> bytes:
        subject = query_subject(type(query), service)
        with translated(f"the {subject.split('.')[1]} service"):
            return await self._request(subject, query.model_dump_json().encode(), timeout)

    async def _request(self, subject: str, raw: bytes, timeout: float) -> bytes:
        try:
            message: Msg = await self.connection.request(subject, raw, timeout=timeout)
        except nats.errors.NoRespondersError:  # nobody has it, so it may be asked again
            message = await until_heard()(self.connection.request, subject, raw, timeout=timeout)
        return message.data

    # --- hearing ----------------------------------------------------------------------------------------------

    def handle_commands(self, handlers: Mapping[type[Any], CommandHandler], *, workers: int = 64) -> None:
        """Handle all commands of this service; those with one target are handled in their order."""
        by_type = {type_of(kind): (kind, handler) for kind, handler in handlers.items()}

        async def handle(message: Msg, delivery: Delivery) -> None:
            reply_to = (message.headers or {}).get(REPLY_TO)
            async with self._line(delivery.subject):
                try:
                    answer = await self._refusals.obey(message.data, delivery, by_type)
                except ShunterError as error:
                    if reply_to and not isinstance(error, UnavailableError):
                        await self._refuse(reply_to, error)
                    raise
            if reply_to:
                await reply(self.connection, reply_to, written(answer))

        self._subscribe("COMMANDS", [command_filter(self.service)], f"{self.service}-commands", handle, workers)
        for kind, handler in handlers.items():
            if kind.is_direct:
                self._answers.hear(order_subject(kind), partial(self._obey_directly, kind, handler), packed=True)

    async def _obey_directly(self, kind: type[Command], handler: CommandHandler, raw: bytes) -> bytes:
        """Obey a command that came past the stream. Whatever is wrong is found again, and told, when it comes by it."""
        try:
            command, delivery = direct_delivery(raw, kind)
            bind_context(delivery.context, delivery.message_id)
            async with self._line(delivery.subject):
                return written(await handler(command, delivery))
        except Exception as error:  # noqa: BLE001 (the stream is for this)
            log.info("command.left_to_stream", error=type(error).__name__)
            return NOT_DONE

    def follow(
        self, stream: str, subjects: Sequence[str], durable: str, handler: RawHandler, *, workers: int = 1
    ) -> None:
        """Handle every message of a stream that fits one of *subjects*, durably; in order if *workers* is 1."""

        async def handle(message: Msg, delivery: Delivery) -> None:
            await handler(message.data, delivery)

        self._subscribe(stream, subjects, durable, handle, workers)

    def answer_queries(self, handlers: Mapping[type[Any], QueryHandler]) -> None:
        """Answer questions; replicas of the service share them."""
        for kind, handler in handlers.items():
            self._answers.add(kind, handler)

    def _subscribe(self, stream: str, subjects: Sequence[str], durable: str, handle: _Handle, workers: int) -> None:
        async def settle(message: Msg) -> None:
            delivery = delivery_of(message)
            bind_context(delivery.context, delivery.message_id)
            await self._settlement.settle(message, delivery, handle(message, delivery))

        self._consumers.append(
            Consumer(
                stream=stream,
                subjects=subjects,
                durable=durable,
                handle=settle,
                workers=workers,
                replicas=self._settings.replicas,
                expires=self.longest_request,
            )
        )

    async def _refuse(self, inbox: str, error: ShunterError) -> None:
        await reply(self.connection, inbox, refused(error))

    def _line(self, subject: str) -> AbstractAsyncContextManager[Any]:
        """Return the lock of one target's commands; locks that nobody holds are forgotten."""
        target = subject.rsplit(".", 1)[-1]
        if target == NO_TARGET:
            return nullcontext()
        if len(self._lines) > _LINES:
            self._lines = {key: lock for key, lock in self._lines.items() if lock.locked()}
        return self._lines.setdefault(target, asyncio.Lock())


async def _patiently(act: Callable[[], Awaitable[object]]) -> None:
    """Do it as soon as JetStream answers: after a restart that takes longer than the connection."""
    for pause in (0.2, 0.5, 1.0, 2.0, 5.0, 15.0):
        try:
            await act()
        except Exception as error:  # noqa: BLE001 (it is tried again, and at the next start)
            log.warning("bus.return_failed", error=repr(error))
            await asyncio.sleep(pause)
        else:
            return


def _security(settings: NatsSettings) -> SASLPlaintext | None:
    if settings.user is None or settings.password is None:
        return None
    return SASLPlaintext(username=settings.user, password=settings.password.get_secret_value())


async def _as_it_is(message: NatsMessage) -> NatsMessage:
    """Decode nothing: handlers here read the bytes themselves, by the contracts."""
    return message


def _json_of(raw: bytes) -> bytes:
    answer = answer_of(raw)
    if answer is not None:
        return answer
    return to_json(_good_answer(raw))


def _read_reply(raw: bytes, answer: Any) -> Any:
    return _adapter(answer).validate_python(_good_answer(raw), extra="ignore")


def _good_answer(raw: bytes) -> Any:
    """Return what a reply brings; raises the problem of a bad one."""
    found = Reply[Any].model_validate_json(raw, extra="ignore")
    if found.problem:
        raise error_of(found.problem)
    return found.answer


@cache
def _adapter(answer: Any) -> TypeAdapter[Any]:
    """Make each kind of answer's reader once: that takes longer than the reading."""
    return TypeAdapter(answer)

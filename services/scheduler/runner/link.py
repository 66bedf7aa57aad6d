"""The runner's one connection: NATS. It dials out; nothing dials in."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from pydantic import TypeAdapter

from contracts.commands import Command
from contracts.envelope import Context, Envelope
from contracts.errors import UnavailableError, error_of
from contracts.ids import message_id
from contracts.queries import Query, Reply
from contracts.runs import LogChunk
from contracts.subjects import control_subject, query_subject, subject_of
from services.scheduler.pilot.patience import by_itself

from .settings import NatsSettings

__all__ = ["AWAY", "Link"]

_MESSAGE_ID = "Nats-Msg-Id"
_REPLY_TO = "Shunter-Reply-To"
_PUBLISH_TIMEOUT = 5.0
_AGAIN = 1.0
"""Seconds before another try to connect after one that ended in an unforeseen way."""
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)

_OFFSET = re.compile(r"[0-9]{1,15}")

AWAY = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)
"""What NATS and its streams raise while they are away."""

log = structlog.get_logger(__name__)


class Link:
    """Says things to the rest of Shunter, and keeps trying."""

    def __init__(self, settings: NatsSettings, name: str) -> None:
        self.name = name
        self.client = Client()
        self._settings = settings
        self.longest_request = settings.longest_request
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=_PUBLISH_TIMEOUT)
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._on_return: list[Callable[[], None]] = []

    @property
    def is_up(self) -> bool:
        """Say whether NATS is connected."""
        return self.client.is_connected

    def on_return(self, call: Callable[[], None]) -> None:
        """Have something called whenever the connection comes back."""
        self._on_return.append(call)

    async def until_up(self) -> None:
        """Wait until NATS is connected."""
        await self._up.wait()

    async def start(self, backend: str, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Connect, however long NATS stays away, and answer what is asked of the runners of *backend*."""
        await self._connect_somehow()

        async def take(message: Any) -> None:
            reply = await answer(message.data)
            if message.reply:
                await self.client.publish(message.reply, reply)

        await self.client.subscribe(control_subject(backend), cb=take)
        self._down.clear()
        self._up.set()
        log.info("nats.connected")

    async def _connect_somehow(self) -> None:
        """Connect, and let nothing end the trying: nats-py raises what it did not expect in a greeting."""
        while True:
            try:
                await self._connect()
            except Exception as error:  # noqa: BLE001 (a runner that gave up here would live on and never work)
                log.warning("nats.awaited", error=f"{type(error).__name__}: {error}")
                with suppress(*AWAY):
                    await self.client.close()
                await asyncio.sleep(_AGAIN)
            else:
                return

    async def _connect(self) -> None:
        password = self._settings.password
        await self.client.connect(
            self._settings.url,
            name=self.name,
            user=self._settings.user,
            password=password.get_secret_value() if password else None,
            max_reconnect_attempts=-1,
            reconnect_time_wait=1,
            reconnected_cb=self._returned,
            disconnected_cb=self._lost,
            error_cb=self._ignore,
        )

    async def close(self) -> None:
        """Say what is still buffered, and hang up."""
        if not self.is_up:
            return
        try:
            async with asyncio.timeout(2.0):
                await self.client.flush(timeout=1)
        except AWAY:
            pass
        await self.client.close()

    async def keep(self, subject: str, payload: bytes, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Publish into a stream until it says that it keeps it; the same *message* twice is kept once."""
        tries = 0
        while True:
            await self._up.wait()
            try:
                await self.jetstream.publish(subject, payload, headers={_MESSAGE_ID: message, **(headers or {})})
            except AWAY as error:
                if tries in {1, 10, 100, 1000}:
                    log.warning("nats.away", subject=subject, error=f"{type(error).__name__}: {error}", tries=tries)
                await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
                tries += 1
            else:
                return

    async def published(self, subject: str) -> int:
        """Ask the stream of outputs how far an earlier runner came with one."""
        while True:
            try:
                last: RawStreamMsg = await self.jetstream.get_last_msg("LOGS", subject)
            except nats.js.errors.NotFoundError:
                return 0
            except AWAY:
                await asyncio.sleep(0.5)
            else:
                text = (last.headers or {}).get(LogChunk.OFFSET, "")
                return (int(text) if _OFFSET.fullmatch(text) else 0) + len(last.data or b"")

    async def ask(self, query: Query, *, timeout: float = 10.0) -> Any:
        """Ask the owner of some data; raises what it refuses with, `UnavailableError` when nobody answers."""
        try:
            subject = query_subject(type(query))
            message = await by_itself(self.client.request(subject, query.model_dump_json().encode(), timeout=timeout))
        except AWAY as error:
            raise UnavailableError(f"the {query.service} service does not answer") from error
        return _read_reply(message.data, query.answer)

    async def order(self, command: Command, context: Context, *, wait: float, answer: Any) -> Any:
        """Publish a command durably and wait for its answer; raises what the service refuses with."""
        envelope = Envelope.wrap(command, context, source="runner", subject=command.target_id, id=message_id())
        inbox = self.client.new_inbox()
        try:
            subscription = await self.client.subscribe(inbox, max_msgs=1)
            headers = {_MESSAGE_ID: envelope.id, _REPLY_TO: inbox}
            try:
                await by_itself(self.jetstream.publish(subject_of(command), envelope.to_bytes(), headers=headers))
                message = await self._unless_lost(subscription.next_msg(timeout=wait))
            finally:
                await subscription.unsubscribe()
        except AWAY as error:
            raise UnavailableError(f"the {command.service} service does not answer") from error
        return _read_reply(message.data, answer)

    async def _unless_lost(self, answer: Coroutine[Any, Any, Msg]) -> Msg:
        """Await an answer, but not across a broken connection: one that was sent meanwhile went nowhere."""
        waiting, lost = asyncio.create_task(answer), asyncio.create_task(self._down.wait())
        try:
            await asyncio.wait({waiting, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ConnectionError("the connection was lost while an answer was awaited")
            return waiting.result()
        finally:
            for task in (waiting, lost):
                task.cancel()
            await asyncio.gather(waiting, lost, return_exceptions=True)

    async def _returned(self) -> None:
        log.info("nats.reconnected")
        self._down.clear()
        self._up.set()
        for call in self._on_return:
            call()

    async def _lost(self) -> None:
        self._up.clear()
        self._down.set()
        if not self.client.is_closed:
            log.warning("nats.disconnected")

    async def _ignore(self, error: Exception) -> None:
        log.debug("nats.error", error=f"{type(error).__name__}: {error}")


def _read_reply(raw: bytes, answer: Any) -> Any:
    reply = Reply[Any].model_validate_json(raw, extra="ignore")
    if reply.problem:
        raise error_of(reply.problem)
    return TypeAdapter(answer).validate_python(reply.answer, extra="ignore")

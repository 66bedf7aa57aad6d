"""Answers to questions: plain subscriptions, which the replicas of a service share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from pydantic import BaseModel, ValidationError

from contracts.errors import InternalError, ShunterError, TooLargeError
from contracts.queries import Query, Reply
from contracts.subjects import query_subject

from .crowd import Crowd
from .errors import invalid_from
from .packs import BREAK, fitting, numbered

__all__ = ["FOR_HEADERS", "Answers", "QueryHandler", "Written", "answer_of", "refused", "reply", "written"]

QueryHandler = Callable[[Any], Awaitable[Any]]
_Act = Callable[[bytes], Awaitable[bytes]]

FOR_HEADERS = 4096
"""Bytes of a message that are left for its headers."""
_FOR_NUMBER = 16
"""Bytes that the number of an answer may take."""
_INBOXES = "_INBOX."
"""Where all of NATS's own clients, and pilots, have their inboxes."""
_AT_ONCE = 64
"""Questions of one kind that are worked on side by side; the next ones wait."""
_GRACE = 15.0
"""Seconds that a stop waits for what is in hand."""

_BEGINS, _ENDS = b'{"answer":', b"}"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that its handler has written already, as JSON."""

    raw: bytes


def written(answer: Any) -> bytes:
    """Write a good reply; a record is written as a user sees it, so that a gateway need not write it again."""
    if isinstance(answer, BaseModel):
        answer = Written(answer.model_dump_json().encode())
    if isinstance(answer, Written):
        return b"".join((_BEGINS, answer.raw, _ENDS))
    return Reply[Any](answer=answer).model_dump_json(exclude_none=True).encode()


def answer_of(raw: bytes) -> bytes | None:
    """Return the bytes of the answer that a good reply holds; None for one that has to be read whole."""
    if raw.startswith(_BEGINS) and b'"problem"' not in raw[-64:]:
        return raw[len(_BEGINS) : -len(_ENDS)]
    return None


def refused(error: ShunterError) -> bytes:
    """Write a bad reply."""
    return Reply[Any](problem=error.to_problem()).model_dump_json(exclude_none=True).encode()


async def _reply_to_pack(client: Client, inbox: str, lines: Iterable[tuple[int, bytes]]) -> None:
    """Say answers to several messages that came together, in one message if they fit."""
    most = client.max_payload - FOR_HEADERS
    good = (numbered(number, raw if len(raw) <= most - _FOR_NUMBER else _too_large(raw, most)) for number, raw in lines)
    for message in fitting(good, most):
        await reply(client, inbox, message)


def _too_large(raw: bytes, most: int) -> bytes:
    return refused(TooLargeError(f"the answer makes a message of {len(raw)} bytes, {most} at most go through"))


async def reply(client: Client, inbox: str, raw: bytes) -> None:
    """Send a reply; NATS hangs up on whoever sends more than it takes, so that is said instead.

    Whoever asks names the subject, and we may say more than they: what is no inbox gets none.
    """
    if not inbox.startswith(_INBOXES):
        log.warning("reply.not_to_an_inbox", subject=inbox[:200])
        return
    if len(raw) > (most := client.max_payload - FOR_HEADERS):
        raw = _too_large(raw, most)
    with suppress(nats.errors.BadSubjectError):  # whoever asked gave no place that there is
        await client.publish(inbox, raw)


class Answers:
    """Hears the questions to one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._acts: list[tuple[str, _Act, bool]] = []
        self._subscriptions: list[Subscription] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self.crowd = Crowd()
        """Those who wait for an answer."""

    def add(self, kind: type[Query], handler: QueryHandler) -> None:
        """Have *handler* answer one kind of question."""
        self.hear(query_subject(kind, self._service), partial(_answer, kind, handler))

    def hear(self, subject: str, act: _Act, *, packed: bool = False) -> None:
        """Have what comes on a subject answered with what *act* returns; *packed* where several may come as one."""
        self._acts.append((subject, act, packed))

    async def start(self, client: Client) -> None:
        """Begin to hear."""
        for subject, act, packed in self._acts:
            take = self._taker(client, act, packed=packed)
            self._subscriptions.append(await client.subscribe(subject, queue=self._service, cb=take))

    async def stop(self) -> None:
        """Hear nothing more and finish what is in hand."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            with suppress(nats.errors.Error, TimeoutError):
                async with asyncio.timeout(2.0):
                    await subscription.drain()  # type: ignore[no-untyped-call]
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=_GRACE)

    def _taker(self, client: Client, act: _Act, *, packed: bool) -> Callable[[Msg], Awaitable[None]]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def answer(raw: bytes, message: Msg, give: Callable[[bytes], Awaitable[None]]) -> None:
            try:
                found = await act(raw)
                if message.reply:
                    await give(found)
            except nats.errors.Error as error:
                log.warning("query.unanswered", query=message.subject, error=repr(error))
            finally:
                self.crowd.go()
                room.release()

        async def begin(raw: bytes, message: Msg, give: Callable[[bytes], Awaitable[None]]) -> None:
            self.crowd.come()
            await room.acquire()
            task = asyncio.create_task(answer(raw, message, give))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)

        async def take(message: Msg) -> None:
            parts = message.data.split(BREAK) if packed else [message.data]
            if len(parts) == 1:
                await begin(message.data, message, partial(reply, client, message.reply))
                return
            replies = _Replies(client, message.reply)
            for number, part in enumerate(parts):
                await begin(part, message, partial(replies.give, number))

        return take


class _Replies:
    """The answers to messages that came together: those that are ready at the same moment go together."""

    def __init__(self, client: Client, inbox: str) -> None:
        self._client = client
        self._inbox = inbox
        self._ready: list[tuple[int, bytes]] = []

    async def give(self, number: int, raw: bytes) -> None:
        """Say the answer to one of them, by its place; whoever is first does so for all."""
        self._ready.append((number, raw))
        if len(self._ready) == 1:
            await asyncio.sleep(0)
            ready, self._ready = self._ready, []
            await _reply_to_pack(self._client, self._inbox, ready)


async def _answer(kind: type[Query], handler: QueryHandler, raw: bytes) -> bytes:
    try:
        return written(await handler(kind.model_validate_json(raw, extra="ignore")))
    except ValidationError as error:
        return refused(invalid_from(error))
    except ShunterError as error:
        return refused(error)
    except Exception:
        log.exception("query.failed", query=kind.name)
        return refused(InternalError("something went wrong; the logs say what"))

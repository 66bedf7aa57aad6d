"""Answers to questions: plain subscriptions, which the replicas of a service share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

__all__ = ["FOR_HEADERS", "Answers", "QueryHandler", "Written", "answer_of", "refused", "reply", "written"]

QueryHandler = Callable[[Any], Awaitable[Any]]

FOR_HEADERS = 4096
"""Bytes of a message that are left for its headers."""
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


async def reply(client: Client, inbox: str, raw: bytes) -> None:
    """Send a reply; NATS hangs up on whoever sends more than it takes, so that is said instead.

    Whoever asks names the subject, and we may say more than they: what is no inbox gets none.
    """
    if not inbox.startswith(_INBOXES):
        log.warning("reply.not_to_an_inbox", subject=inbox[:200])
        return
    if len(raw) > (most := client.max_payload - FOR_HEADERS):
        raw = refused(TooLargeError(f"the answer makes a message of {len(raw)} bytes, {most} at most go through"))
    with suppress(nats.errors.BadSubjectError):  # whoever asked gave no place that there is
        await client.publish(inbox, raw)


class Answers:
    """Hears the questions to one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._acts: list[tuple[str, Callable[[bytes], Awaitable[bytes]]]] = []
        self._subscriptions: list[Subscription] = []
        self._in_hand: set[asyncio.Task[None]] = set()
        self.crowd = Crowd()
        """Those who wait for an answer."""

    def add(self, kind: type[Query], handler: QueryHandler) -> None:
        """Have *handler* answer one kind of question."""
        self.hear(query_subject(kind, self._service), partial(_answer, kind, handler))

    def hear(self, subject: str, act: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Have what comes on a subject answered with what *act* returns."""
        self._acts.append((subject, act))

    async def start(self, client: Client) -> None:
        """Begin to hear."""
        for subject, act in self._acts:
            take = self._taker(client, act)
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

    def _taker(self, client: Client, act: Callable[[bytes], Awaitable[bytes]]) -> Callable[[Msg], Awaitable[None]]:
        room = asyncio.Semaphore(_AT_ONCE)

        async def answer(message: Msg) -> None:
            try:
                raw = await act(message.data)
                if message.reply:
                    await reply(client, message.reply, raw)
            except nats.errors.Error as error:
                log.warning("query.unanswered", query=message.subject, error=repr(error))
            finally:
                self.crowd.go()
                room.release()

        async def take(message: Msg) -> None:
            self.crowd.come()
            await room.acquire()
            task = asyncio.create_task(answer(message))
            self._in_hand.add(task)
            task.add_done_callback(self._in_hand.discard)

        return take


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

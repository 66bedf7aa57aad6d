"""Asks for something to be done at once, past the streams: what nobody does in time goes another way."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from .packs import BREAK, NOT_DONE, Pack

__all__ = ["NOT_DONE", "Direct"]

_FEW = 4
"""Who asks beside no more than so many others has nothing wait for company."""
_MOMENT = 0.001
"""Seconds that messages wait for company else: the answers of those who will ask next are being sent just then."""


class Direct:
    """The end of those who ask. What is asked of one subject at the same moment travels together."""

    def __init__(self) -> None:
        self._next: dict[str, Pack] = {}
        """Those that have not gone yet, by subject."""
        self._gone: dict[str, Pack] = {}
        """Those whose answers are awaited, by the last token of where."""
        self._going: set[asyncio.Task[None]] = set()
        self._count = 0
        self._present = 0
        """Those who have no answer yet."""

    async def start(self, client: Client) -> None:
        """Begin to hear answers."""
        self._client = client
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def ask(self, subject: str, payload: bytes, *, within: float) -> bytes:
        """Return the answer, or `NOT_DONE`; then it may have been done, or be done later, all the same."""
        if not self._client.is_connected:
            return NOT_DONE
        self._present += 1
        try:
            async with asyncio.timeout(within):
                return await self._join(subject, payload)
        except TimeoutError:
            return NOT_DONE
        finally:
            self._present -= 1

    def _join(self, subject: str, payload: bytes) -> asyncio.Future[bytes]:
        pack = self._next.get(subject)
        if pack is None or not pack.has_room(payload):
            pack = self._begin(subject)
        got = pack.add(payload)
        if pack.is_full:
            self._close(subject, pack)
        return got

    def _begin(self, subject: str) -> Pack:
        if left := self._next.get(subject):
            self._close(subject, left)
        pack = self._next[subject] = Pack()
        task = asyncio.create_task(self._send(subject, pack))
        self._going.add(task)
        task.add_done_callback(self._going.discard)
        return pack

    def _close(self, subject: str, pack: Pack) -> None:
        """Take nothing more along."""
        pack.closed.set()
        if self._next.get(subject) is pack:
            del self._next[subject]

    async def _send(self, subject: str, pack: Pack) -> None:
        # Those who ask at this moment have got in by now.
        if self._present > _FEW:
            with suppress(TimeoutError):
                async with asyncio.timeout(_MOMENT):
                    await pack.closed.wait()
        self._close(subject, pack)
        self._count += 1
        token = str(self._count)
        self._gone[token] = pack
        try:
            with suppress(nats.errors.Error, OSError):
                await self._client.publish(subject, BREAK.join(pack.payloads), f"{self._inbox}.{token}")
                await asyncio.wait(pack.waiting)  # who has waited long enough is done too
        finally:
            del self._gone[token]
            pack.give_up()

    def give_up(self) -> None:
        """NATS was away: what was asked, or its answer, may have got lost."""
        for pack in self._gone.values():
            pack.give_up()

    async def _take(self, message: Msg) -> None:
        if pack := self._gone.get(message.subject.rpartition(".")[2]):
            pack.answer(message.data)

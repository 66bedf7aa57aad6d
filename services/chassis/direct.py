"""Asks for something to be done at once, past the streams: what nobody does in time goes another way."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

__all__ = ["NOT_DONE", "Direct"]

NOT_DONE = b""
"""Said by whoever leaves it to others, and by NATS where nobody hears."""


class Direct:
    """The end of those who ask."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[bytes]] = {}
        self._count = 0

    async def start(self, client: Client) -> None:
        """Begin to hear answers."""
        self._client = client
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def ask(self, subject: str, payload: bytes, *, within: float) -> bytes:
        """Return the answer, or `NOT_DONE`; then it may have been done, or be done later, all the same."""
        if not self._client.is_connected:
            return NOT_DONE
        self._count += 1
        token = str(self._count)
        got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._awaited[token] = got
        try:
            async with asyncio.timeout(within):
                await self._client.publish(subject, payload, f"{self._inbox}.{token}")
                return await got
        except (TimeoutError, nats.errors.Error):
            return NOT_DONE
        finally:
            del self._awaited[token]

    def give_up(self) -> None:
        """NATS was away: what was asked, or its answer, may have got lost."""
        for got in self._awaited.values():
            if not got.done():
                got.set_result(NOT_DONE)

    async def _take(self, message: Msg) -> None:
        got = self._awaited.get(message.subject.rpartition(".")[2])
        if got is not None and not got.done():
            got.set_result(message.data)

"""Publishing into streams: nats-py's own way does twice the work, and every message that we say goes through here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import nats.errors
import nats.js.errors
import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

__all__ = ["Acks"]

_NO_RESPONDERS = "503"


class Acks:
    """Waits for what JetStream says of the messages of one connection."""

    def __init__(self, *, within: float) -> None:
        """*within*: seconds after which a message that nothing was said of counts as lost."""
        self._within = within
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._count = 0
        self._inbox = ""

    async def start(self, client: Client) -> None:
        """Begin to hear acknowledgements."""
        self._client = client
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.*", cb=self._take)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        """Publish and wait until the message is kept; raises what nats-py raises."""
        self._count += 1
        token = str(self._count)
        loop = asyncio.get_running_loop()
        kept = self._awaited[token] = loop.create_future()
        late = loop.call_later(self._within, _give_up, kept)
        try:
            await self._client.publish(subject, payload, f"{self._inbox}.{token}", dict(headers))
            await kept
        finally:
            late.cancel()
            del self._awaited[token]

    async def _take(self, message: Msg) -> None:
        kept = self._awaited.get(message.subject.rpartition(".")[2])
        if kept is None or kept.done():
            return
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            kept.set_exception(nats.js.errors.NoStreamResponseError())
        elif error := orjson.loads(message.data).get("error"):
            kept.set_exception(nats.js.errors.APIError.from_error(error))
        else:
            kept.set_result(None)


def _give_up(kept: asyncio.Future[None]) -> None:
    if not kept.done():
        kept.set_exception(nats.errors.TimeoutError())

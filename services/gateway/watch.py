"""News about one thing, as they are said: what a long poll waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import nats.errors
from nats.aio.client import Client

from services.chassis.errors import translated

from .closing import Closing

__all__ = ["Watch", "watching"]


class Watch:
    """The facts that were said since the watch began. It may miss one when NATS goes away: ask again at the end."""

    def __init__(self) -> None:
        self._facts: asyncio.Queue[str] = asyncio.Queue()
        self.on_news: Callable[[], None] | None = None
        """Called at each fact."""

    def say(self, fact: str) -> None:
        """Add a fact."""
        self._facts.put_nowait(fact)
        if self.on_news:
            self.on_news()

    async def next(self, timeout: float) -> str | None:
        """Return the next fact; None when none came in *timeout* seconds, `""` when the gateway stops."""
        try:
            async with asyncio.timeout(timeout):
                return await self._facts.get()
        except TimeoutError:
            return None

    @property
    def has_news(self) -> bool:
        """Say whether facts were said that nobody has taken."""
        return not self._facts.empty()

    def take(self) -> bool:
        """Forget the facts said so far; say whether there were any."""
        any_said = not self._facts.empty()
        while not self._facts.empty():
            self._facts.get_nowait()
        return any_said


@asynccontextmanager
async def watching(connection: Client, subject: str, closing: Closing) -> AsyncIterator[Watch]:
    """Listen to *subject* while the block runs; whatever is said after the block began is heard."""
    watch = Watch()

    async def hear(message: Any) -> None:
        watch.say(message.subject.split(".")[2])

    with translated("NATS"):
        subscription = await connection.subscribe(subject, cb=hear)
    try:
        with closing.waking(lambda: watch.say("")):
            yield watch
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()

"""What a line of deliveries has done for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio import activity

from services.scheduler.webhooks.delivering import Deliverer
from services.scheduler.workflows.webhook import HookCalls, Standing

from .errors import translated_for_temporal

__all__ = ["HookActivities"]

_ALIVE_EVERY = 3.0
"""Seconds between two signs of life."""


class HookActivities(HookCalls):
    """The activities of deliveries."""

    def __init__(self, deliverer: Deliverer) -> None:
        self._deliverer = deliverer

    @activity.defn
    @translated_for_temporal
    async def deliver_line(self, line: str) -> Standing:
        """Send what is due, in order."""
        async with _alive():
            return Standing(pause=await self._deliverer.run(line))


@asynccontextmanager
async def _alive() -> AsyncIterator[None]:
    """Tell Temporal again and again that we are at work."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(_ALIVE_EVERY)
            activity.heartbeat()

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()

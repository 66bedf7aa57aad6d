"""Wakes what waits for a moment, and looks again at backends that had no room."""

from __future__ import annotations

import asyncio
from time import monotonic

import structlog

from contracts.envelope import Context
from contracts.model import now
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.registry import Backends
from services.scheduler.settings import QueueSettings

from . import table
from .dispatcher import READY, Dispatcher

__all__ = ["QueueClock"]

_LOOK_AGAIN = 1.0
"""Seconds between two looks at backends while anybody waits for room: one may have grown, or come back."""
_LONGEST = 30.0
"""Seconds after which the clock on the wall is looked at again; it may have been set."""

log = structlog.get_logger(__name__)


class QueueClock:
    """Level-triggered: it acts on what the tables say, so it may be stopped, doubled or late without harm."""

    def __init__(
        self, *, unit: UnitOfWork, dispatcher: Dispatcher, backends: Backends, settings: QueueSettings
    ) -> None:
        self._unit = unit
        self._dispatcher = dispatcher
        self._backends = backends
        self._settings = settings
        self._counted = monotonic()

    async def run(self) -> None:
        """Wake whom it is time for until cancelled; costs nothing while nobody waits."""
        while True:
            await self._sleep()
            try:
                await self.look()
            except Exception:
                log.exception("queue.clock_failed")
                await asyncio.sleep(_LOOK_AGAIN)

    async def look(self) -> None:
        """Look once."""
        if monotonic() - self._counted > self._settings.recount:
            self._counted = monotonic()
            self._dispatcher.doubt()
        await self._wake()
        if self._dispatcher.anybody_waits:
            await self._backends.standings()
            async with self._unit.begin(Context.start("service:scheduler")) as work:
                work.facts.append(READY)

    async def _sleep(self) -> None:
        """Sleep until it is time to look; news only change until when."""
        while True:
            self._dispatcher.news.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._dispatcher.news.wait()
            except TimeoutError:
                return

    def _pause(self) -> float | None:
        due = self._dispatcher.next_due
        until_due = None if due is None else min(_LONGEST, max(0.0, (due - now()).total_seconds()))
        if self._dispatcher.anybody_waits:
            return _LOOK_AGAIN if until_due is None else min(_LOOK_AGAIN, until_due)
        return until_due

    async def _wake(self) -> None:
        """Have those whose time has come compete for room."""
        while self._dispatcher.next_due and self._dispatcher.next_due <= now():
            async with self._unit.begin(Context.start("service:scheduler")) as work:
                rows = await table.due(work.connection, now())
                await self._dispatcher.promote(work, rows)
                self._dispatcher.next_due = await table.next_due(work.connection)

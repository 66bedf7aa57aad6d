"""Wakes what waits for a moment, looks again at backends that had no room, and counts anew what is in doubt."""

from __future__ import annotations

import asyncio
from time import monotonic

import structlog

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.model import now
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.registry import Backends
from services.scheduler.settings import QueueSettings

from . import table
from .dispatcher import READY, Dispatcher

__all__ = ["QueueClock"]

_LOOK_AGAIN = 1.0
"""Seconds between two looks at backends while anybody waits for room: one may have grown, or come back."""
_COUNT_AGAIN = 5.0
"""Seconds after which is counted anew what could not be counted exactly, as others were at work."""
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
        """Wake whom it is time for until cancelled; costs next to nothing while nobody waits."""
        while True:
            await self._sleep()
            try:
                await self.look()
            except UnavailableError as error:
                log.warning("queue.clock_postponed", detail=error.detail)
                await asyncio.sleep(_LOOK_AGAIN)
            except Exception:
                log.exception("queue.clock_failed")
                await asyncio.sleep(_LOOK_AGAIN)

    async def look(self) -> None:
        """Look once."""
        if self._until_count() <= 0:
            self._counted = monotonic()
            self._dispatcher.doubt()
        await self._wake()
        if self._is_wanted:
            await self._backends.standings()
            async with self._unit.begin(Context.start("service:scheduler")) as work:
                work.facts.append(READY)

    async def _sleep(self) -> None:
        """Sleep until it is time to look; news only change until when."""
        soon: float | None = None
        while True:
            self._dispatcher.news.clear()
            if soon is None and self._is_wanted:
                soon = monotonic() + _LOOK_AGAIN
            pause = self._pause() if soon is None else min(self._pause(), soon - monotonic())
            try:
                async with asyncio.timeout(max(0.0, pause)):
                    await self._dispatcher.news.wait()
            except TimeoutError:
                return

    @property
    def _is_wanted(self) -> bool:
        return self._dispatcher.anybody_waits or self._dispatcher.is_in_doubt

    def _pause(self) -> float:
        due = self._dispatcher.next_due
        until_due = _LONGEST if due is None else (due - now()).total_seconds()
        return min(_LONGEST, until_due, self._until_count())

    def _until_count(self) -> float:
        """Return the seconds until everything is counted anew, though nobody is known to have waited meanwhile."""
        span = self._settings.recount if self._dispatcher.is_exact else min(_COUNT_AGAIN, self._settings.recount)
        return self._counted + span - monotonic()

    async def _wake(self) -> None:
        """Have those whose time has come compete for room."""
        while self._dispatcher.next_due and self._dispatcher.next_due <= now():
            async with self._unit.begin(Context.start("service:scheduler")) as work:
                rows = await table.due(work.connection, now())
                await self._dispatcher.promote(work, rows)
                self._dispatcher.next_due = await table.next_due(work.connection)

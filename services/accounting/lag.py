"""Watches how far the ledger is behind the event log."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self

from prometheus_client import Gauge

from contracts.errors import UnavailableError

from .eventlog import EventLog

__all__ = ["LagWatch"]

_EVERY = 5.0
"""Seconds between two looks."""

_TOO_MUCH = 20_000
"""Events behind which the figures are too old to be called ready."""

_LAG = Gauge("shunter_accounting_lag_events", "Events of the log that are not in the ledger yet")


class LagWatch:
    """Keeps the metric true while the block runs."""

    def __init__(self, events: EventLog, *, every: float = _EVERY) -> None:
        self._events = events
        self._every = every
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_often())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> int:
        """Return how many events are not in the ledger yet, and set the metric."""
        lag = await self._events.lag()
        _LAG.set(lag)
        return lag

    async def check(self) -> None:
        """Raise `UnavailableError` if the ledger does not keep up."""
        lag = await self.look()
        if lag > _TOO_MUCH:
            raise UnavailableError(f"{lag} events behind")

    async def _look_often(self) -> None:
        while True:
            # Whoever asks for health hears what is wrong; here the next look comes anyway.
            with suppress(Exception):
                await self.look()
            await asyncio.sleep(self._every)

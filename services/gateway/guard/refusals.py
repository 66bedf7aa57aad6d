"""What was refused, told as events: one for each kind and second, however many requests there were."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

import structlog

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.events import Event, RequestRefused
from contracts.ids import message_id
from contracts.model import now

__all__ = ["Refusal", "Refusals"]

_MOST = 50
"""Kinds that are told apart in a second. What is beyond them is told together."""

_PAUSE = 1.0
"""Seconds for which refusals are gathered."""

log = structlog.get_logger(__name__)


class Announce(Protocol):
    """What says an event."""

    def __call__(self, event: Event, context: Context, *, event_id: str | None = None) -> Awaitable[None]:
        """Say it, or raise `UnavailableError`."""


class Refusal(NamedTuple):
    """One kind of what is refused."""

    principal: str | None
    address: str
    method: str
    route: str
    status: int
    code: str

    def of_many(self) -> Refusal:
        """Return the kind under which it is told together with others."""
        return Refusal(None, "", "", "", self.status, self.code)


@dataclass(slots=True)
class _Count:
    first_at: datetime
    last_at: datetime
    count: int = 0
    event_id: str = field(default_factory=message_id)


class Refusals:
    """Gathers and tells. While nobody can be told they go on to be counted, in the same room."""

    def __init__(
        self,
        announce: Announce,
        *,
        clock: Callable[[], datetime] = now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._announce = announce
        self._clock = clock
        self._sleep = sleep
        self._counts: dict[Refusal, _Count] = {}
        self._some = asyncio.Event()

    def note(self, refusal: Refusal) -> None:
        """Count one; costs nearly nothing."""
        moment = self._clock()
        if refusal not in self._counts and len(self._counts) >= _MOST:
            refusal = refusal.of_many()
        found = self._counts.setdefault(refusal, _Count(moment, moment))
        found.count += 1
        found.last_at = moment
        self._some.set()

    async def tell(self) -> None:
        """Say what was gathered."""
        gathered, self._counts = self._counts, {}
        self._some.clear()
        while gathered:
            refusal, found = next(iter(gathered.items()))
            event = RequestRefused(
                **refusal._asdict(), count=found.count, first_at=found.first_at, last_at=found.last_at
            )
            actor = f"user:{refusal.principal}" if refusal.principal else "service:gateway"
            try:
                await self._announce(event, Context.start(actor), event_id=found.event_id)
            except UnavailableError as error:
                log.warning("refusals.untold", detail=error.detail, kinds=len(gathered))
                self._keep(gathered)
                return
            except BaseException:  # we are told to stop: what is said twice under one id is kept once
                self._keep(gathered)
                raise
            del gathered[refusal]

    def _keep(self, gathered: dict[Refusal, _Count]) -> None:
        """Put back what could not be told, beside what has come meanwhile."""
        newer, self._counts = self._counts, gathered
        for refusal, found in newer.items():
            if known := gathered.get(refusal):
                known.count += found.count
                known.last_at = found.last_at
            elif len(gathered) < _MOST:
                gathered[refusal] = found
            else:
                rest = gathered.setdefault(refusal.of_many(), _Count(found.first_at, found.last_at))
                rest.count += found.count
                rest.last_at = found.last_at
        self._some.set()

    @asynccontextmanager
    async def telling(self) -> AsyncIterator[None]:
        """Tell while the block runs, and what is left at its end."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await self.tell()

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await self._sleep(_PAUSE)
            try:
                await self.tell()
            except Exception:
                log.exception("refusals.failed")

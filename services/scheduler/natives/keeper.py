"""The only one who talks to a cluster's engine about native jobs: starts, looks, stops, removes. Level-triggered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import structlog
from prometheus_client import Gauge

from contracts.errors import ShunterError

from .cluster import Cluster
from .leasing import Keepership
from .looking import Looker
from .starting import Starter

__all__ = ["Keeper"]

_LINGER = 0.05
"""Seconds for which a small job waits for others that could go with it, where one came just before it."""

_LATELY = 0.25
"""Seconds after which others are not expected so soon: a job that comes alone waits for nobody."""

_GATHER = 0.2
"""Seconds between two looks whether what small jobs wait for has begun."""

_AGAIN = 5.0
"""Seconds after which is looked for work of which nobody told us, and for the keepership."""

_LONGEST_PAUSE = 30.0

_MANY = 5000
"""Native jobs with which looks become rarer, so that however many there are, looking at them costs alike."""

_AWAY = Gauge("shunter_engine_away", "Whether a cluster does not answer", ["backend"])

log = structlog.get_logger(__name__)


class Keeper:
    """Keeps one backend, while no other process does."""

    def __init__(
        self, cluster: Cluster, starter: Starter, looker: Looker, *, keepership: Keepership | None = None
    ) -> None:
        self._cluster = cluster
        self._starter = starter
        self._looker = looker
        self.keepership = keepership or Keepership(unit=cluster.unit, backend=cluster.name)
        self._failures: dict[str, int] = {}

    async def run(self) -> None:
        """Keep it until cancelled."""
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._start_for_ever())
                both.create_task(self._look_for_ever())
        finally:
            with suppress(ShunterError):
                await self.keepership.give_up()
            await self._cluster.close()

    async def _start_for_ever(self) -> None:
        bell = self._cluster.bell.work
        pause, rang = 0.0, -_LATELY
        while True:
            await _until(bell, pause)
            if bell.is_set() and self._cluster.settings.pack:
                if monotonic() - rang < _LATELY:
                    await asyncio.sleep(_LINGER)
                rang = monotonic()
            bell.clear()
            more = await self._safely("start", self._starter.start)
            pause = self._pause_after("start", 0.0 if more else _GATHER if self._starter.gathers else _AGAIN)
            if self._failures.get("start"):
                bell.clear()

    async def _look_for_ever(self) -> None:
        wishes = self._cluster.bell.wishes
        while True:
            begun = monotonic()
            await self._safely("look", self._looker.look)
            usual = self._cluster.engine.looks_every * (1 + self._looker.size / _MANY)
            pause = self._pause_after("look", usual)
            # A wish is fulfilled at once, but one that comes every moment does not have all looked at every moment.
            await asyncio.sleep(max(0.0, min(pause, monotonic() - begun)))
            await _until(wishes, pause)
            wishes.clear()

    async def _safely(self, what: str, step: Callable[[], Awaitable[object]]) -> bool:
        """Do a step if the backend is ours to keep; whatever goes wrong, the next one comes."""
        try:
            if not await self.keepership.hold():
                return False
            done = bool(await step())
        except ShunterError as error:
            self._note_failure(what, error.detail)
        except Exception:
            log.exception("keeper.failed", backend=self._cluster.name, step=what)
            self._note_failure(what, "")
        else:
            if self._failures.pop(what, 0) and not self._failures:
                log.info("keeper.engine_back", backend=self._cluster.name)
            _AWAY.labels(self._cluster.name).set(bool(self._failures))
            return done
        return False

    def _note_failure(self, what: str, detail: str) -> None:
        self._failures[what] = self._failures.get(what, 0) + 1
        _AWAY.labels(self._cluster.name).set(1)
        if detail and self._failures[what] == 1:
            log.warning("keeper.engine_away", backend=self._cluster.name, step=what, detail=detail)

    def _pause_after(self, what: str, usual: float) -> float:
        failures = self._failures.get(what, 0)
        return min(max(usual, 1.0) * 2.0 ** min(failures - 1, 6), _LONGEST_PAUSE) if failures else usual


async def _until(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()

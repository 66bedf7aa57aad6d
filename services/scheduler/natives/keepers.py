"""One keeper for each cluster that is configured; they come and go as the configuration does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from nats.aio.msg import Msg

from contracts.subjects import work_subject
from services.chassis.bus import Bus
from services.scheduler.backends.cluster import ClusterBackend
from services.scheduler.backends.registry import Backends

from .cluster import Cluster
from .keeper import Keeper

__all__ = ["Keepers"]

_EVERY = 1.0
"""Seconds between two looks at what is configured."""

log = structlog.get_logger(__name__)


class Keepers:
    """Level-triggered: what is configured has a keeper, and nothing else has."""

    def __init__(self, *, backends: Backends, bus: Bus, make: Callable[[Cluster], Keeper]) -> None:
        self._backends = backends
        self._bus = bus
        self._make = make
        self._running: dict[ClusterBackend, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Keep all until cancelled."""
        try:
            await self._bus.connection.subscribe(work_subject("*"), cb=self._ring)
            while True:
                await self._agree()
                await asyncio.sleep(_EVERY)
        finally:
            await self._leave(list(self._running))

    async def _agree(self) -> None:
        wanted = self._backends.clusters
        ended = [backend for backend, task in self._running.items() if task.done()]
        await self._leave([*ended, *(backend for backend in self._running if backend not in wanted)])
        for backend in wanted:
            if backend not in self._running:
                self._running[backend] = asyncio.create_task(self._make(backend.cluster).run())

    async def _leave(self, backends: list[ClusterBackend]) -> None:
        tasks = [self._running.pop(backend) for backend in dict.fromkeys(backends)]
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("keeper.ended", error=repr(outcome))

    async def _ring(self, message: Msg) -> None:
        """Hear from another process that there is something to start or to stop."""
        for backend in self._backends.clusters:
            if message.subject == work_subject(backend.name):
                backend.cluster.bell.hear(message.data)

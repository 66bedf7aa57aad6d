"""The backends of this site, by name, and what they last said of their room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from contracts.errors import ShunterError, UnavailableError
from services.scheduler.natives.cluster import Cluster, Means
from services.scheduler.settings import BackendSettings

from .base import Backend, Capacity
from .cluster import ClusterBackend
from .local import LocalBackend
from .pull import PullBackend

__all__ = ["Backends", "Standing", "make_backends"]

_FRESH = 2.0
"""Seconds for which what a backend said of its room is believed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a backend: its room as last heard, and what is wrong with it if anything."""

    backend: Backend
    capacity: Capacity | None
    trouble: str = ""


class Backends:
    """All backends, in the order in which the site prefers them."""

    def __init__(self, backends: Iterable[Backend]) -> None:
        self._backends = {backend.name: backend for backend in backends}
        self._heard: dict[str, tuple[float, Capacity | None, str]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def get(self, name: str) -> Backend | None:
        """Return a backend by name."""
        return self._backends.get(name)

    @property
    def names(self) -> list[str]:
        """Return all names."""
        return list(self._backends)

    @property
    def clusters(self) -> list[ClusterBackend]:
        """Return those that have a keeper."""
        return [backend for backend in self._backends.values() if isinstance(backend, ClusterBackend)]

    def require(self, name: str) -> Backend:
        """Return a backend that was configured when the work was placed."""
        found = self._backends.get(name)
        if found is None:
            raise UnavailableError(f"the backend {name!r} is not configured any more", retry_after=60.0)
        return found

    def capacity_of(self, name: str) -> Capacity | None:
        """Return the room that a backend spoke of last, if it ever did; nobody is asked."""
        heard = self._heard.get(name)
        return heard[1] if heard else None

    def trouble_of(self, name: str) -> str:
        """Return what was wrong with a backend when it was asked last."""
        heard = self._heard.get(name)
        return heard[2] if heard else ""

    async def standings(self, *, of_all: bool = True) -> list[Standing]:
        """Ask every backend, or those that need not be named, all at once; fresh news are not asked for again."""
        asked = [backend for backend in self._backends.values() if of_all or not backend.on_request]
        return list(await asyncio.gather(*(self.standing(backend) for backend in asked)))

    async def standing(self, backend: Backend) -> Standing:
        """Return what is known of one backend. Old news is returned at once and renewed behind the scenes."""
        heard = self._heard.get(backend.name)
        if backend.is_near or heard is None or (heard[1] is None and monotonic() - heard[0] > _FRESH):
            await self._hear(backend)
        elif monotonic() - heard[0] > _FRESH and backend.name not in self._asking:
            task = asyncio.create_task(self._hear(backend))
            self._asking[backend.name] = task
            task.add_done_callback(lambda _: self._asking.pop(backend.name, None))
        _, capacity, trouble = self._heard[backend.name]
        return Standing(backend, capacity, trouble)

    async def _hear(self, backend: Backend) -> None:
        before = self._heard.get(backend.name)
        try:
            self._heard[backend.name] = (monotonic(), await backend.capacity(), "")
        except ShunterError as error:
            # Its size does not change while it is away: what was known still decides what can fit at all.
            self._heard[backend.name] = (monotonic(), before[1] if before else None, error.detail)


def make_backends(settings: Iterable[BackendSettings], means: Means) -> Backends:
    """Make the backends that the site configured."""
    return Backends(_make(item, means) for item in settings)


def _make(settings: BackendSettings, means: Means) -> Backend:
    if settings.is_cluster:
        return ClusterBackend(Cluster(settings, means))
    if settings.kind == "pull":
        return PullBackend(name=settings.name, settings=settings.pull, unit=means.unit, bus=means.bus)
    return LocalBackend(name=settings.name, bus=means.bus)

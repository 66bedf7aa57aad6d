"""Backends: a client's `clusters`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.backends import BackendView
from contracts.placements import PlacementView
from contracts.spec import JobSpec

from .calls import clusters as calls

__all__ = ["AsyncClusters", "Clusters"]


class Clusters:
    """How backends stand and where jobs go; draining and resuming are for admins of the site."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send

    def get(self, name: str) -> BackendView:
        """Return one backend: its state, its room, what it is and what it costs."""
        found: BackendView = self._send(calls.get_backend(name))
        return found

    def place(self, spec: JobSpec) -> PlacementView:
        """Return where a job would go if it were submitted now, and why not elsewhere; nothing is kept."""
        found: PlacementView = self._send(calls.place_job(spec))
        return found

    def drain(self, name: str, message: str = "") -> BackendView:
        """Have a backend given no new work; what it has runs to its end."""
        found: BackendView = self._send(calls.drain_backend(name, message))
        return found

    def resume(self, name: str) -> BackendView:
        """Have a backend given work again."""
        found: BackendView = self._send(calls.resume_backend(name))
        return found


class AsyncClusters:
    """How backends stand and where jobs go; draining and resuming are for admins of the site."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]]) -> None:
        self._send = send

    async def get(self, name: str) -> BackendView:
        """Return one backend: its state, its room, what it is and what it costs."""
        found: BackendView = await self._send(calls.get_backend(name))
        return found

    async def place(self, spec: JobSpec) -> PlacementView:
        """Return where a job would go if it were submitted now, and why not elsewhere; nothing is kept."""
        found: PlacementView = await self._send(calls.place_job(spec))
        return found

    async def drain(self, name: str, message: str = "") -> BackendView:
        """Have a backend given no new work; what it has runs to its end."""
        found: BackendView = await self._send(calls.drain_backend(name, message))
        return found

    async def resume(self, name: str) -> BackendView:
        """Have a backend given work again."""
        found: BackendView = await self._send(calls.resume_backend(name))
        return found

"""The backends as psik's clients know them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from contracts.errors import NotFoundError
from contracts.queries import BackendView

from .models import StatusValue, SystemStatus
from .settings import PsikBackend, PsikSettings

__all__ = ["Backends", "Target"]

_FRESH = 5.0
"""Seconds for which what the scheduler said of its backends is believed."""

Ask = Callable[[], Awaitable[list[BackendView]]]


@dataclass(frozen=True, slots=True)
class Target:
    """What a job is handed to."""

    name: str
    """As the client called it."""
    settings: PsikBackend
    views: tuple[BackendView, ...]
    """The backends of ours that it may run on."""


class Backends:
    """Knows backends by the names that the site gave them for psik, and by their own."""

    def __init__(self, settings: PsikSettings) -> None:
        self._named = settings.backends
        self._heard: list[BackendView] = []
        self._heard_at = float("-inf")

    @property
    def first(self) -> str:
        """Return the one that is meant when none is named."""
        return next(iter(self._named))

    async def target(self, name: str | None, ask: Ask) -> Target:
        """Return a backend by name; raises `NotFoundError`."""
        views = await self._views(ask)
        wanted = name or self.first
        settings = self._named.get(wanted)
        if settings is None:
            if wanted not in {view.backend for view in views}:
                raise NotFoundError("Backend not found")
            settings = PsikBackend(backend=wanted)
        meant = settings.backend
        found = [view for view in views if view.backend == meant or (meant is None and not view.on_request)]
        return Target(wanted, settings, tuple(found))

    async def statuses(self, ask: Ask) -> dict[str, SystemStatus]:
        """Return how each fares."""
        views = await self._views(ask)
        names = [*self._named, *(view.backend for view in views if view.backend not in self._named)]
        return {name: _status(await self.target(name, ask)) for name in names}

    async def _views(self, ask: Ask) -> list[BackendView]:
        if time.monotonic() - self._heard_at > _FRESH:
            self._heard, self._heard_at = await ask(), time.monotonic()
        return self._heard


def _status(target: Target) -> SystemStatus:
    views = target.views
    healthy = sum(view.healthy for view in views)
    state = StatusValue.DEGRADED if healthy else StatusValue.UNAVAILABLE
    kinds = ", ".join(sorted({view.kind for view in views})) or "none"
    return SystemStatus(
        name=target.name,
        full_name=target.settings.backend or target.name,
        description=f"shunter:{kinds} backend" if views else "shunter: no backend of this name",
        system_type=kinds,
        notes=[*target.settings.notes, *(view.detail for view in views if view.detail)],
        status=StatusValue.ACTIVE if views and healthy == len(views) else state,
        updated_at=datetime.now(UTC).replace(tzinfo=None),
    )

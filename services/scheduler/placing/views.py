"""Backends as users see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.backends import BackendState, BackendView, GetBackend, ListBackends
from contracts.errors import NotFoundError
from services.scheduler.backends.base import Capacity
from services.scheduler.backends.registry import Backends, Standing

__all__ = ["BackendDesk", "view_of"]

_FIGURES = (
    *("cpus", "cpus_free", "memory", "memory_free", "gpus", "gpus_free", "running", "queued"),
    *("largest_cpus", "largest_gpus"),
)


class BackendDesk:
    """Answers questions about backends."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    async def all(self, _query: ListBackends) -> list[BackendView]:
        """Return all, in the order of the site."""
        return [view_of(standing) for standing in await self._backends.standings()]

    async def get(self, query: GetBackend) -> BackendView:
        """Return one."""
        if query.backend not in self._backends.names:
            raise NotFoundError(f"there is no backend {query.backend!r}; there are: {', '.join(self._backends.names)}")
        return view_of(await self._backends.standing(self._backends.require(query.backend)))


def view_of(standing: Standing) -> BackendView:
    """Return what users see of a backend."""
    backend, facts = standing.backend, standing.facts
    return BackendView(
        backend=backend.name,
        kind=backend.kind,
        healthy=not standing.trouble,
        detail=standing.trouble,
        capabilities=sorted(backend.capabilities),
        on_request=backend.on_request,
        state=_state(standing),
        drain=standing.drain,
        site=facts.site or "",
        labels=facts.labels,
        cost=facts.cost,
        walltime=facts.walltime.total_seconds() if facts.walltime else None,
        network=facts.network,
        near=facts.near,
        **_figures(standing.capacity),
    )


def _state(standing: Standing) -> BackendState:
    if standing.drain is not None:
        return BackendState.DRAINING
    return BackendState.DOWN if standing.trouble else BackendState.UP


def _figures(room: Capacity | None) -> Mapping[str, Any]:
    if room is None:
        return {}
    return {**{name: getattr(room, name) for name in _FIGURES}, "gpu_models": list(room.gpu_models)}

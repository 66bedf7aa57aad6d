"""The backends of this site, by name, and what they last said of their room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

import structlog

from contracts.backends import Drain
from contracts.errors import ShunterError, UnavailableError
from services.scheduler.natives.cluster import Cluster, Means
from services.scheduler.settings import BackendSettings

from .base import Backend, Capacity
from .cluster import ClusterBackend
from .facts import BackendFacts
from .local import LocalBackend
from .pull import PullBackend

__all__ = ["Backends", "Standing", "make_backend", "make_backends"]

log = structlog.get_logger(__name__)

_FRESH = 2.0
"""Seconds for which what a backend said of its room is believed."""
_FRESH_NEAR = 0.2
"""The same, of one that is near. That one is away, or has nobody to do its work, is asked again at once."""

_NO_FACTS = BackendFacts()
_BY_FILE = Drain(by="configuration", message="its settings say `drain`")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a backend: its room as last heard, and what is wrong with it if anything."""

    backend: Backend
    capacity: Capacity | None
    trouble: str = ""
    facts: BackendFacts = field(default_factory=BackendFacts)
    drain: Drain | None = None
    """Given while it gets no new work."""

    @property
    def is_ready(self) -> bool:
        """Say whether it answers and takes work, however full it is."""
        return not self.trouble and self.drain is None


class Backends:
    """All backends, in the order in which the site prefers them. They may change while work runs."""

    def __init__(self, backends: Iterable[Backend], facts: Mapping[str, BackendFacts] | None = None) -> None:
        self._backends = {backend.name: backend for backend in backends}
        self._facts = dict(facts or {})
        self._retired: dict[str, Backend] = {}
        self._heard: dict[str, tuple[float, Capacity | None, str]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self.drains: dict[str, Drain] = {}
        """Those to which operators have no new work given."""

    # --- who there is -------------------------------------------------------------------------------------------

    def get(self, name: str) -> Backend | None:
        """Return a backend by name, also one that was configured away and may have work still."""
        return self._backends.get(name) or self._retired.get(name)

    @property
    def names(self) -> list[str]:
        """Return the names of those that are configured."""
        return list(self._backends)

    @property
    def clusters(self) -> list[ClusterBackend]:
        """Return those that have a keeper; one that was configured away may have work still."""
        known = [*self._backends.values(), *self._retired.values()]
        return [backend for backend in known if isinstance(backend, ClusterBackend)]

    @property
    def retired(self) -> list[str]:
        """Return the names of those that were configured away since this process began."""
        return list(self._retired)

    def put(self, backend: Backend, facts: BackendFacts) -> None:
        """Add a backend, or put it in the place of the one of its name."""
        self._backends[backend.name] = backend
        self._facts[backend.name] = facts
        self._retired.pop(backend.name, None)
        self._heard.pop(backend.name, None)

    def retire(self, name: str) -> None:
        """Give a backend no new work for good; what it has runs to its end."""
        if (backend := self._backends.pop(name, None)) is not None:
            self._retired[name] = backend

    def remember(self, backend: Backend, facts: BackendFacts) -> None:
        """Know a backend that was configured away before, for the work that it has still."""
        self._retired[backend.name] = backend
        self._facts[backend.name] = facts

    def describe(self, name: str, facts: BackendFacts) -> None:
        """Let other facts be known of a backend that stays as it is."""
        self._facts[name] = facts

    def arrange(self, names: Sequence[str]) -> None:
        """Bring those that are configured into an order."""
        self._backends = {name: self._backends[name] for name in names}

    def facts_of(self, name: str) -> BackendFacts:
        """Return what the site says of a backend."""
        return self._facts.get(name, _NO_FACTS)

    def drain_of(self, name: str) -> Drain | None:
        """Return why a backend gets no new work; None if it does."""
        return self.drains.get(name) or (_BY_FILE if self.facts_of(name).drain else None)

    def takes_work(self, name: str) -> bool:
        """Say whether a backend is configured and gets new work."""
        return name in self._backends and self.drain_of(name) is None

    def require(self, name: str) -> Backend:
        """Return a backend that was configured when the work was placed."""
        found = self.get(name)
        if found is None:
            raise UnavailableError(f"the backend {name!r} is not configured any more", retry_after=60.0)
        return found

    # --- how they are -------------------------------------------------------------------------------------------

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
        if heard is None or self._is_asked_first(backend, *heard):
            await self._hear(backend)
        elif monotonic() - heard[0] > _FRESH and backend.name not in self._asking:
            task = asyncio.create_task(self._hear(backend))
            self._asking[backend.name] = task
            task.add_done_callback(lambda _: self._asking.pop(backend.name, None))
        _, capacity, trouble = self._heard[backend.name]
        name = backend.name
        return Standing(backend, capacity, trouble, self.facts_of(name), self.drain_of(name))

    @staticmethod
    def _is_asked_first(backend: Backend, at: float, capacity: Capacity | None, trouble: str) -> bool:
        """Say whether a backend has to answer before anything is said of it."""
        age = monotonic() - at
        if backend.is_near:
            return bool(trouble) or age > _FRESH_NEAR
        return capacity is None and age > _FRESH

    async def _hear(self, backend: Backend) -> None:
        """Ask a backend for its room; what one that was replaced meanwhile says is of no interest."""
        before, trouble = self._heard.get(backend.name), ""
        # Its size does not change while it is away: what was known still decides what can fit at all.
        capacity = before[1] if before else None
        try:
            capacity = await backend.capacity()
        except ShunterError as error:
            trouble = error.detail
        except Exception as error:
            # What is wrong with one is not to hide the others.
            log.exception("backend.failed", backend=backend.name)
            trouble = f"asking for its room failed: {type(error).__name__}"
        self._heard[backend.name] = (monotonic(), capacity, trouble)


def make_backends(settings: Iterable[BackendSettings], means: Means) -> Backends:
    """Make the backends that the site configured."""
    chosen = list(settings)
    return Backends((make_backend(item, means) for item in chosen), {item.name: item for item in chosen})


def make_backend(settings: BackendSettings, means: Means) -> Backend:
    """Make one."""
    if settings.is_cluster:
        return ClusterBackend(Cluster(settings, means))
    if settings.kind == "pull":
        return PullBackend(name=settings.name, settings=settings.pull, unit=means.unit, bus=means.bus)
    return LocalBackend(name=settings.name, bus=means.bus)

"""Whether a backend can take more: what it has room for, and a little ahead, so that its own queue is never dry."""

from __future__ import annotations

from collections.abc import Container, Iterable
from math import ceil

from services.scheduler.backends.base import Capacity
from services.scheduler.backends.registry import Backends
from services.scheduler.settings import QueueSettings

from .books import Books, Pace
from .demand import NOTHING, Demand
from .lanes import LaneKey

__all__ = ["Rooms", "ahead_of"]

_UNSEEN = 16
"""Workloads that are given to a backend that never said how large it is."""


def ahead_of(pace: float, settings: QueueSettings) -> int:
    """Return how many workloads may lie in the own queue of a backend that starts *pace* of them in a second.

    So little that a more urgent one soon has its turn, so much that the backend does not wait for us.
    """
    return max(settings.at_least, ceil(pace * settings.ahead))


_SMALLEST = Demand(1, 1e-5, 0, 0)


class Rooms:
    """The room of all backends, as they said last, less what was given away."""

    def __init__(self, backends: Backends, books: Books, pace: Pace, settings: QueueSettings) -> None:
        self.pace = pace
        self._backends = backends
        self._books = books
        self._settings = settings

    @property
    def whole(self) -> Demand:
        """Return the size of all backends together."""
        total = NOTHING
        for name in self._backends.names:
            if capacity := self._backends.capacity_of(name):
                total = total.plus(_room(capacity))
        return total

    def choose(self, key: LaneKey, demand: Demand, full: Container[str] = ()) -> str | None:
        """Return the backend that takes a workload of a lane now: the one that is liked best, or has most free cores.

        None if all are full; those in *full* are known to be.
        """
        taking = [name for name in key.backends if self._backends.takes_work(name)]
        # One that does not answer is passed over, unless nobody else could hold it.
        well = [name for name in taking if not self._backends.trouble_of(name)] or taking
        possible = [name for name in well if name not in full and self.takes(name, demand, key)]
        if key.ordered:
            # Rather where it begins at once than where it would lie in the queue of a cluster.
            at_once = (name for name in possible if self.has_room(name, demand))
            return next(at_once, possible[0] if possible else None)
        return max(possible, key=lambda name: self.free(name).cpus, default=None)

    def has_room(self, name: str, demand: Demand) -> bool:
        """Say whether a backend would begin with so much at once, as far as is known."""
        backend = self._backends.get(name)
        if backend is None or backend.is_patient or self._backends.capacity_of(name) is None:
            return backend is not None
        return demand.fits_into(self.free(name))

    def is_any(self, names: Iterable[str]) -> bool:
        """Say whether any of these could take even the smallest workload; if not, nobody need be looked at."""
        return any(self.takes(name, _SMALLEST) for name in names)

    def free(self, name: str) -> Demand:
        """Return what nobody was given; less than nothing where more was given than there is room."""
        capacity, backend = self._backends.capacity_of(name), self._backends.get(name)
        if capacity is None:
            return NOTHING.minus(self._books.of_backend(name))
        left = _room(capacity).minus(self._books.of_backend(name))
        if backend is None or backend.queue is None:
            return left
        # A cluster has other users too: of what we did not give away they may have some.
        return Demand(
            left.tasks,
            min(left.cpus, capacity.cpus_free),
            min(left.memory, capacity.memory_free),
            min(left.gpus, capacity.gpus_free),
        )

    def takes(self, name: str, demand: Demand, key: LaneKey | None = None) -> bool:
        """Say whether a backend takes so much now, of a lane or whatever it is."""
        if not self._backends.takes_work(name):
            return False
        backend = self._backends.require(name)
        if backend.is_patient:
            # Where it could go elsewhere, it does not go where nobody is there to take it.
            return not self._backends.trouble_of(name) or key is None or len(key.backends) == 1
        capacity = self._backends.capacity_of(name)
        unstarted = self._books.unstarted(name)
        if backend is not None and backend.queue is not None:
            return unstarted < backend.queue
        if capacity is None:
            return unstarted < _UNSEEN
        return demand.fits_into(self.free(name)) or unstarted < ahead_of(self.pace.per_second(name), self._settings)


def _room(capacity: Capacity) -> Demand:
    return Demand(0, capacity.cpus, capacity.memory, capacity.gpus)

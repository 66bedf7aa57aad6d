"""Who has how much at present: what was let go and has not given its room back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from .demand import NOTHING, Demand

__all__ = ["Books", "Charge", "Pace"]


@dataclass(frozen=True, slots=True)
class Charge:
    """A workload that was let go."""

    owner: str
    project: str
    """Empty for none."""
    backend: str
    demand: Demand
    started: bool = False
    """Whether the backend has begun with it."""


class Books:
    """Sums over charges, by owner, project and backend."""

    def __init__(self) -> None:
        self._charges: dict[str, Charge] = {}
        self._sums: dict[tuple[str, str], Demand] = {}
        self._unstarted: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._charges)

    def clear(self) -> None:
        """Forget everything."""
        self._charges.clear()
        self._sums.clear()
        self._unstarted.clear()

    def get(self, workload_id: str) -> Charge | None:
        """Return what a workload has."""
        return self._charges.get(workload_id)

    def charge(self, workload_id: str, charge: Charge) -> None:
        """Count a workload; whatever it had before is given back."""
        self.discharge(workload_id)
        self._charges[workload_id] = charge
        self._unstarted[charge.backend] += not charge.started
        for place in _places(charge):
            self._sums[place] = self._sums.get(place, NOTHING).plus(charge.demand)

    def start(self, workload_id: str) -> str | None:
        """Note that the backend has begun with it; returns which, if that is news."""
        known = self._charges.get(workload_id)
        if known is None or known.started:
            return None
        self._charges[workload_id] = replace(known, started=True)
        self._unstarted[known.backend] -= 1
        return known.backend

    def discharge(self, workload_id: str) -> None:
        """Give back what a workload has, if it has anything."""
        known = self._charges.pop(workload_id, None)
        if known is None:
            return
        self._unstarted[known.backend] -= not known.started
        for place in _places(known):
            left = self._sums[place].minus(known.demand)
            if left.tasks > 0:
                self._sums[place] = left
            else:
                del self._sums[place]

    def of_owner(self, owner: str) -> Demand:
        """Return what somebody has."""
        return self._sums.get(("owner", owner), NOTHING)

    def of_project(self, project: str) -> Demand:
        """Return what a project has."""
        return self._sums.get(("project", project), NOTHING)

    def of_backend(self, backend: str) -> Demand:
        """Return what a backend was given."""
        return self._sums.get(("backend", backend), NOTHING)

    def unstarted(self, backend: str) -> int:
        """Return how many workloads a backend was given and has not begun with."""
        return self._unstarted[backend]


def _places(charge: Charge) -> list[tuple[str, str]]:
    return [("owner", charge.owner), ("project", charge.project), ("backend", charge.backend)]


class Pace:
    """How many workloads a backend began with of late."""

    def __init__(self, clock: Callable[[], float], window: float = 1.0) -> None:
        self._clock = clock
        self._window = window
        self._starts: dict[str, deque[float]] = {}

    def note(self, backend: str) -> None:
        """Note a start."""
        self._starts.setdefault(backend, deque(maxlen=4096)).append(self._clock())

    def per_second(self, backend: str) -> float:
        """Return the starts in the last second."""
        starts = self._starts.get(backend)
        if not starts:
            return 0.0
        begin = self._clock() - self._window
        while starts and starts[0] < begin:
            starts.popleft()
        return len(starts) / self._window
